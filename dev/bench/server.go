package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server is the built binary at work.
type server struct {
	url, key string
	dir      string
	cmd      *exec.Cmd
	client   *http.Client
}

func startServer(ctx context.Context, o options) (*server, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.c + 1}}}
	binary := filepath.Join(dir, "gatehouse")
	if out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "./cmd/gatehouse").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	s.url = "http://localhost:" + port
	store := []string{"--data-dir", filepath.Join(dir, "data")}
	if o.databaseURL != "" {
		key := filepath.Join(dir, "master")
		if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), 0o600); err != nil {
			return nil, err
		}
		store = append(store, "--database-url", o.databaseURL, "--master-key-file", key)
	}
	s.cmd = exec.Command(binary, append([]string{"serve", "--listen", address, "--log-level", "error", "--scim-rate-limit", "0", "--trusted-proxies", "127.0.0.0/8", "--allow-private-networks"}, store...)...)
	if o.keepServerOutput {
		s.cmd.Stderr = os.Stderr
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if res, err := s.client.Get(s.url + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			s.stop()
			return nil, errors.New("the server does not become ready")
		}
	}
	out, err := exec.CommandContext(ctx, binary, append([]string{"key", "create", "--name", "bench", "--json"}, store...)...).Output()
	if err != nil {
		s.stop()
		return nil, err
	}
	var made struct{ Key string }
	if err := json.Unmarshal(out, &made); err != nil {
		s.stop()
		return nil, err
	}
	s.key = made.Key
	return s, nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// call sends one request and reads the whole answer.
func (s *server) call(ctx context.Context, method, address, token string, body, into any) error {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 2000))
		return fmt.Errorf("%s %s: %d %s", method, address, res.StatusCode, text)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// measure runs f for 0 … n-1 from c clients.
func (s *server) measure(ctx context.Context, n, c int, f func(ctx context.Context, n int) error) (measure, error) {
	times := make([]float64, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var clients sync.WaitGroup
	cpu, began := s.cpu(), time.Now()
	for range c {
		clients.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				at := time.Now()
				if err := f(ctx, i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				times[i] = time.Since(at).Seconds() * 1000
			}
		})
	}
	clients.Wait()
	if err := failed.Load(); err != nil {
		return measure{}, *err
	}
	took := time.Since(began)
	slices.Sort(times)
	round := func(v float64) float64 { return float64(int(v*1000+0.5)) / 1000 }
	return measure{
		Operations: n, PerSecond: round(float64(n) / took.Seconds()), P50: round(times[n/2]), P99: round(times[n*99/100]),
		CPU: round((s.cpu() - cpu) * 1000 / float64(n)),
	}, nil
}

// cpu is the seconds of user and system time of the server's process; 0 where
// the system does not tell.
func (s *server) cpu() float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/stat")
	if err != nil || runtime.GOOS != "linux" {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// memory reads a line of the process's status in MB.
func (s *server) memory(line string) float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(text), "\n") {
		if f := strings.Fields(l); len(f) > 1 && f[0] == line+":" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return float64(int(kb/1024*10)) / 10
		}
	}
	return 0
}
