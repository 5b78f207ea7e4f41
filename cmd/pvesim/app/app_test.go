package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary run as the program, so that signals and exit codes are
// real.
func TestMain(m *testing.M) {
	if os.Getenv("PVESIM_AS_PROGRAM") == "1" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

const homelab = "../../../testdata/worlds/homelab.yaml"

func TestTheProgramServesUntilItIsTerminated(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-world", homelab, "-ready-file", ready, "-time-scale", "100")
	cmd.Env = append(os.Environ(), "PVESIM_AS_PROGRAM=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exports := readExports(t, stdout, "PVE_PASSWORD_ROOT_PAM")

	client := pinned(exports["PVE_FINGERPRINT"])
	req, err := http.NewRequestWithContext(ctx, "GET", exports["PVE_ENDPOINT"]+"/api2/json/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "PVEAPIToken="+exports["PVE_TOKEN_GPUWORKER_PVE_ENGINE"])
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(body), `"version":"9.1.4"`) || resp.ProtoMajor != 1 {
		t.Errorf("GET /version: %s %s %s", resp.Proto, resp.Status, body)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM the program ended with %v, want a clean exit", err)
	}
	// It ended, so the ready file was written before.
	address, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	if got := "https://" + strings.TrimSpace(string(address)); got != exports["PVE_ENDPOINT"] {
		t.Errorf("the ready file says %s, the program said %s", got, exports["PVE_ENDPOINT"])
	}
}

func TestTheProgramServesAClusterWithoutQuorum(t *testing.T) {
	exports := background(t.Context(), t, "-world testdata/worlds/homelab.yaml -fault '{effect: quorum-lost}' -list-lag 1h -time-scale 20")
	client := pinned(exports["PVE_FINGERPRINT"])
	ask := func(method, path string) (status, body string) {
		req, err := http.NewRequestWithContext(t.Context(), method, exports["PVE_ENDPOINT"]+"/api2/json"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "PVEAPIToken="+exports["PVE_TOKEN_GPUWORKER_PVE_ENGINE"])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status, string(data)
	}
	if status, body := ask("GET", "/nodes"); status != "200 OK" || strings.Count(body, `"status":"offline"`) != 2 {
		t.Errorf("GET /nodes: %s %s", status, body)
	}
	if status, _ := ask("POST", "/nodes/pve1/qemu/9000/clone?newid=130"); status != "500 cluster not ready - no quorum?" {
		t.Errorf("a clone: %s", status)
	}
	// A VM that was stopped is listed as it was in the last broadcast.
	if status, _ := ask("POST", "/nodes/pve1/qemu/100/status/stop"); status != "200 OK" {
		t.Errorf("a stop: %s", status)
	}
	entry := regexp.MustCompile(`\{[^{}]*"vmid":100\b[^{}]*\}`)
	for ended := false; !ended; {
		<-time.After(20 * time.Millisecond)
		_, body := ask("GET", "/nodes/pve1/qemu")
		ended = strings.Contains(entry.FindString(body), `"status":"stopped"`)
	}
	if _, body := ask("GET", "/cluster/resources?type=vm"); !strings.Contains(entry.FindString(body), `"status":"running"`) {
		t.Errorf("it is listed as %s", entry.FindString(body))
	}
}

// readExports reads the shell exports up to the one named last.
func readExports(t *testing.T, from io.Reader, last string) map[string]string {
	t.Helper()
	exports := map[string]string{}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		if !ok {
			t.Fatalf("not an export: %q", lines.Text())
		}
		exports[name] = strings.Trim(value, "'")
		if name == last {
			return exports
		}
	}
	t.Fatalf("the program ended without %s; it said %v", last, exports)
	return nil
}

// pinned returns a client that trusts one certificate by its fingerprint.
func pinned(fingerprint string) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			sum := sha256.Sum256(raw[0])
			if colons(sum[:]) != fingerprint {
				return errors.New("another certificate")
			}
			return nil
		},
	}}}
}

func TestWrongCommandLinesSayWhatToDo(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("version: \"7.4\"\nhosts: []\nbogus: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"no world":                  {nil, []string{"no world file given", "-world FILE"}},
		"a certificate without key": {[]string{"-world", homelab, "-cert", "x"}, []string{"give both or none"}},
		"an argument too many":      {[]string{"-world", homelab, "extra"}, []string{`unexpected argument "extra"`}},
		"a world that is not there": {[]string{"-world", "nope.yaml"}, []string{"nope.yaml"}},
		"a world with faults shows all of them": {[]string{"-world", broken},
			[]string{broken, `unknown field "bogus"`, `version "7.4"`, "no hosts", "root@pam is missing"}},
		"an address that cannot be":   {[]string{"-world", homelab, "-listen", "256.0.0.1:1"}, []string{"listen on 256.0.0.1:1"}},
		"a fault that there is not":   {[]string{"-world", homelab, "-fault", "{effect: nope}"}, []string{`effect "nope"`}},
		"a fault with a typing error": {[]string{"-world", homelab, "-fault", "{efect: hang}"}, []string{`unknown field "efect"`}},
		"a list from the future":      {[]string{"-world", homelab, "-list-lag", "-1s"}, []string{"-1s"}},
		"a host alone without quorum": {[]string{"-world", "../../../testdata/worlds/recorded.yaml", "-fault", "{effect: quorum-lost}"}, []string{"without a cluster"}},
		"time that runs backwards":    {[]string{"-world", homelab, "-time-scale", "-1"}, []string{"time scale -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tc.args, io.Discard, io.Discard)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not contain %q", err, want)
				}
			}
		})
	}
}
