package app

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// TestOnlySmallRegularFilesAreCredentials: reading any of these would block or fill the
// memory.
func TestOnlySmallRegularFilesAreCredentials(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(file string) error
		says string
	}{
		"a FIFO that nobody writes to": {func(file string) error { return syscall.Mkfifo(file, 0o600) }, "it is a FIFO, and reading it may block forever"},
		"a link to a FIFO": {func(file string) error {
			if err := syscall.Mkfifo(file+".fifo", 0o600); err != nil {
				return err
			}
			return os.Symlink(file+".fifo", file)
		}, "it is a FIFO, and reading it may block forever"},
		"a device without an end": {func(file string) error { return os.Symlink("/dev/zero", file) }, "it is not a regular file"},
		"a directory":             {func(file string) error { return os.Mkdir(file, 0o700) }, "it is a directory"},
		"a file of 1 TiB": {func(file string) error {
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(1 << 40)
		}, "it is larger than 1024 KiB"},
	} {
		for spec, field := range map[string]string{
			"    credentials: {token: {file: odd}}\n":                                                    "token",
			"    credentials: {username: root@pam, password: {file: odd}}\n":                             "password",
			"    tls: {caFile: odd}\n    credentials: {username: root@pam, password: {env: PASSWORD}}\n": "caFile",
		} {
			t.Run(name+" as "+field, func(t *testing.T) {
				r, documents, hypervisor := request(t, spec)
				file := fileOf(hypervisor)
				if err := tt.make(file); err != nil {
					t.Fatal(err)
				}
				_, err := loginOf(r, documents, hypervisor)
				if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), field) {
					t.Errorf("%v, want %s", err, tt.says)
				}
			})
		}
	}
}

// TestASecretThatOthersMayReadIsWarnedOf once, with the command that fixes it.
func TestASecretThatOthersMayReadIsWarnedOf(t *testing.T) {
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o604: true, 0o606: true} {
		r, documents, hypervisor := request(t, "    credentials: {token: {file: token}}\n")
		file := fileOf(hypervisor)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var said []string
		r.Warn = func(text string) { said = append(said, text) }
		login, err := loginOf(r, documents, hypervisor)
		if err != nil || login.Token != "a@pve!b=secret-in-file" {
			t.Errorf("%04o: %v", mode, err)
		}
		text := strings.Join(said, "\n")
		if want := "chmod 600 " + file; warned != strings.Contains(text, want) || len(said) > 1 || strings.Contains(text, "secret-in") {
			t.Errorf("%04o: said %q", mode, text)
		}
		if !filepath.IsAbs(file) {
			t.Errorf("%s is not the whole path", file)
		}
	}
}
