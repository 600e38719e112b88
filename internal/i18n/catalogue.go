package i18n

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// English is the language of the source, which needs no catalogue.
const English = "en"

// maxPreferred bounds how much of a list of languages is read: it comes from
// outside.
const maxPreferred = 512 // bytes

// Catalogue translates messages. It does not change after Load and serves
// concurrent use.
type Catalogue struct {
	languages []string // English first
	matcher   language.Matcher
	messages  map[string]map[string]string // language → English → translation
}

// Load reads {language}/{area}.json, each an object of English texts and their
// translations, and merges the areas of a language. A text that two files
// translate differently, or that is not translated with the same placeholders, is
// an error: better no start than a wrong page.
func Load(fsys fs.FS) (*Catalogue, error) {
	c := &Catalogue{languages: []string{English}, messages: map[string]map[string]string{}}
	files, err := fs.Glob(fsys, "*/*.json")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, file := range files {
		if err := c.add(fsys, file); err != nil {
			return nil, fmt.Errorf("i18n: %s: %w", file, err)
		}
	}
	var tags []language.Tag
	for _, l := range c.languages {
		tag, err := language.Parse(l)
		if err != nil {
			return nil, fmt.Errorf("i18n: language %q: %w", l, err)
		}
		tags = append(tags, tag)
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// MustLoad is Load of what is embedded.
func MustLoad(fsys fs.FS) *Catalogue {
	c, err := Load(fsys)
	if err != nil {
		panic(err) // cannot happen: a test loads the same files
	}
	return c
}

func (c *Catalogue) add(fsys fs.FS, file string) error {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	pairs, err := readPairs(data)
	if err != nil {
		return err
	}
	lang := path.Dir(file)
	messages := c.messages[lang]
	if messages == nil {
		messages = map[string]string{}
		c.messages[lang] = messages
		c.languages = append(c.languages, lang)
	}
	for _, p := range pairs {
		english, translation := p[0], p[1]
		if known, ok := messages[english]; ok && known != translation {
			return fmt.Errorf("%q is translated twice and differently", english)
		}
		if want, got := Placeholders(english), Placeholders(translation); !slices.Equal(want, got) {
			return fmt.Errorf("%q has the placeholders %v, its translation %v", english, want, got)
		}
		if strings.TrimSpace(translation) == "" {
			return fmt.Errorf("%q has an empty translation", english)
		}
		messages[english] = translation
	}
	return nil
}

// readPairs reads a flat object of strings in its order; encoding/json would keep
// the last of two equal keys and tell nobody.
func readPairs(data []byte) ([][2]string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	var pairs [][2]string
	for d.More() {
		var p [2]string
		for i := range p {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			text, ok := t.(string)
			if !ok {
				return nil, fmt.Errorf("%v after %q is not a string", t, p[0])
			}
			p[i] = text
		}
		pairs = append(pairs, p)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one object")
	}
	return pairs, nil
}

// Languages are those that there are, English first.
func (c *Catalogue) Languages() []string { return slices.Clone(c.languages) }

// Match chooses the language of a text: the first list of preferences that has one
// of ours decides, otherwise it is English. A list is in the form of
// Accept-Language (RFC 9110 §12.5.4), of ui_locales (tags with spaces between), or
// one tag; what is no list is passed over.
func (c *Catalogue) Match(preferred ...string) string {
	for _, list := range preferred {
		if list == "" || len(list) > maxPreferred {
			continue
		}
		if !strings.Contains(list, ",") {
			list = strings.Join(strings.Fields(list), ",")
		}
		tags, _, err := language.ParseAcceptLanguage(list)
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := c.matcher.Match(tags...); confidence > language.No {
			return c.languages[i]
		}
	}
	return English
}

// Has reports whether the message needs no translation in the language, or has one.
func (c *Catalogue) Has(lang, english string) bool {
	_, ok := c.messages[lang][english]
	return ok || lang == English
}

// Text is the message in the language, with its placeholders unfilled.
func (c *Catalogue) Text(lang, english string) string {
	if t, ok := c.messages[lang][english]; ok {
		return t
	}
	return english
}

// In gives the text in the language, with its placeholders filled.
func (c *Catalogue) In(lang string, t Text) string { return Fill(c.Text(lang, t.English), t.Args...) }
