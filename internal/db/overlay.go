package db

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

var migrationName = regexp.MustCompile(`^([0-9]{4,})_[a-z0-9_]+(\.postgres|\.sqlite)?\.sql$`)

// Overlay returns the migrations of one engine ([Postgres] or [SQLite]) as goose reads them. In fsys,
//
//	0007_name.sql           is the text for both engines,
//	0007_name.postgres.sql  replaces it on PostgreSQL, or exists there alone,
//	0007_name.sqlite.sql    does so on SQLite.
//
// Files hold plain SQL that goes forward; statements with a semicolon inside stand between
// "-- +goose StatementBegin" and "-- +goose StatementEnd". Files with other names (schema snapshots)
// are left out. It is an error when two files claim a number or the engines end at different ones.
func Overlay(fsys fs.FS, engine string) (fs.FS, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	shared := map[string]string{} // name for goose → name in fsys
	own := map[string]map[string]string{Postgres: {}, SQLite: {}}
	for _, name := range names {
		m := migrationName.FindStringSubmatch(name)
		switch {
		case m == nil:
		case m[2] == "":
			shared[name] = name
		default:
			engine := m[2][1:]
			own[engine][strings.TrimSuffix(name, m[2]+".sql")+".sql"] = name
		}
	}
	last := map[string]string{}
	for engine, files := range own {
		for name, file := range shared {
			if _, ok := files[name]; !ok {
				files[name] = file
			}
		}
		versions := map[string]string{}
		for name := range files {
			version, _, _ := strings.Cut(name, "_")
			if other, ok := versions[version]; ok {
				return nil, fmt.Errorf("db: migrations %s and %s have the same number", other, name)
			}
			versions[version] = name
			last[engine] = max(last[engine], version)
		}
	}
	if last[Postgres] != last[SQLite] {
		return nil, fmt.Errorf("db: migrations end at %s on PostgreSQL and at %s on SQLite", last[Postgres], last[SQLite])
	}
	files, ok := own[engine]
	if !ok {
		return nil, fmt.Errorf("db: no engine %q", engine)
	}
	o := overlay{}
	for name, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(text, []byte("-- +goose Up")) {
			text = append([]byte("-- +goose Up\n"), text...)
		}
		o[name] = text
	}
	return o, nil
}

// overlay is a directory of files in memory: what goose needs of a file system.
type overlay map[string][]byte

// Open implements fs.FS.
func (o overlay) Open(name string) (fs.File, error) {
	if text, ok := o[name]; ok {
		return &overlayFile{overlayInfo{name, len(text)}, bytes.NewReader(text)}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	if path.Clean(name) != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []fs.DirEntry
	for name, text := range o {
		entries = append(entries, fs.FileInfoToDirEntry(overlayInfo{name, len(text)}))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type overlayFile struct {
	info overlayInfo
	io.Reader
}

func (f *overlayFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *overlayFile) Close() error               { return nil }

type overlayInfo struct {
	name string
	size int
}

func (i overlayInfo) Name() string       { return i.name }
func (i overlayInfo) Size() int64        { return int64(i.size) }
func (i overlayInfo) Mode() fs.FileMode  { return 0o444 }
func (i overlayInfo) ModTime() time.Time { return time.Time{} }
func (i overlayInfo) IsDir() bool        { return false }
func (i overlayInfo) Sys() any           { return nil }
