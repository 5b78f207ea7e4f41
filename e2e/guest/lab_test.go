package guest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/e2e/qemu"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
)

// labVariable names the directory that prepare made. Without it the tests are skipped.
const labVariable = "GPUWORKER_E2E_GUEST"

// lab is what all tests share.
type lab struct {
	dir        string // of prepare
	scratch    string
	kernel     string // release
	qemu       *qemu.Emulator
	program    bootstrap.Build // gpuworker-guest
	repository string          // address of the local package repository
	key        string          // its public key
	identity   string          // file with the private SSH key of the operator
	public     string
}

// theLab makes it once.
func theLab(t *testing.T) *lab {
	t.Helper()
	if os.Getenv(labVariable) == "" {
		t.Skip("left out: it boots a real guest in QEMU, which takes some minutes; run it with: make e2e-guest")
	}
	l, err := makeLab()
	if err != nil {
		t.Fatal(err)
	}
	if l.qemu.Why != "" {
		t.Skipf("NOT TESTED: QEMU's card cannot get NVIDIA's ID: %s", l.qemu.Why)
	}
	t.Log("stand-ins: the driver and nvidia-smi (own packages with Ubuntu's names), os-release (it says Ubuntu, the guest is Debian 12), the card (bochs-display with the ID 10de:1eb8)")
	return l
}

// scratch is the directory of the tests; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	if address := os.Getenv(relayVariable); address != "" {
		relay(address)
		return
	}
	var err error
	// Not t.TempDir: the path of a socket must be short.
	if scratch, err = os.MkdirTemp("", "gpuworker-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

var makeLab = sync.OnceValues(func() (*lab, error) {
	l := &lab{dir: os.Getenv(labVariable), scratch: scratch, identity: filepath.Join(scratch, "id")}
	version, err1 := os.ReadFile(filepath.Join(l.dir, "version"))
	key, err2 := os.ReadFile(filepath.Join(l.dir, "repository", "key.asc"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%s=%s was not made by e2e/guest/prepare: %w", labVariable, l.dir, err)
	}
	l.kernel, l.key = strings.TrimSpace(string(version)), string(key)
	var err error
	if l.qemu, err = qemu.Find(scratch); err != nil {
		return nil, err
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator@example.org", "-f", l.identity).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	public, err := os.ReadFile(l.identity + ".pub")
	if err != nil {
		return nil, err
	}
	l.public = strings.TrimSpace(string(public))
	if err := l.serve(); err != nil {
		return nil, err
	}
	return l, l.build()
})

// build builds gpuworker-guest as a release has it.
func (l *lab) build() error {
	file := filepath.Join(l.scratch, "gpuworker-guest-linux-amd64")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "../../cmd/gpuworker-guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build gpuworker-guest: %w\n%s", err, out)
	}
	program, err := os.ReadFile(file)
	l.program = bootstrap.NewBuild("amd64", program)
	return err
}

// serve serves the package repository on this machine.
func (l *lab) serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.repository = listener.Addr().String()
	go http.Serve(listener, http.FileServer(http.Dir(filepath.Join(l.dir, "repository"))))
	return nil
}

// relayVariable is the address to which this program is connected by relay.
const relayVariable = "GPUWORKER_E2E_RELAY"

// relay connects standard input and output with an address. QEMU starts it for each
// connection of the guest to the package repository, the only one that the guest can reach.
func relay(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		os.Exit(1)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
}
