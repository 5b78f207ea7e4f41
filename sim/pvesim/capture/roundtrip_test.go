package capture_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/sim/pvesim/capture"
)

// loadWorld reads a world of the repository.
func loadWorld(t *testing.T, name string) pvesim.World {
	t.Helper()
	return loadFile(t, "../../../testdata/worlds/"+name+".yaml")
}

// everything is a world with all that a world has room for.
func everything(t *testing.T) pvesim.World {
	t.Helper()
	return loadFile(t, "testdata/everything.yaml")
}

func loadFile(t *testing.T, file string) pvesim.World {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

// served is a cluster that is reached over real connections, as one of its
// tokens.
type served struct {
	t           *testing.T
	server      *httptest.Server
	sim         *pvesim.Sim
	token       string
	fingerprint string
}

func serve(t *testing.T, world pvesim.World, login string) *served {
	t.Helper()
	at := slices.IndexFunc(world.Tokens, func(token pvesim.Token) bool { return token.ID == login })
	if at < 0 {
		t.Fatalf("the world has no token %s", login)
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(500), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return &served{t: t, server: server, sim: sim, token: login + "=" + world.Tokens[at].Secret, fingerprint: fingerprint(server)}
}

func fingerprint(server *httptest.Server) string {
	sum := sha256.Sum256(server.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

func (s *served) options() capture.Options {
	return capture.Options{Endpoint: s.server.URL, Token: s.token, Fingerprint: s.fingerprint}
}

func (s *served) capture(keep bool) *capture.Result {
	s.t.Helper()
	options := s.options()
	options.KeepNames = keep
	result, err := capture.Capture(s.t.Context(), options)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// ask is what the cluster answers to the login, as plain values.
func (s *served) ask(path string) any {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), "GET", s.server.URL+"/api2/json"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "PVEAPIToken="+s.token)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if response.StatusCode != 200 {
		return response.Status
	}
	var answer struct{ Data any }
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	return answer.Data
}

// permitted are the paths that have permissions of somebody, as questions for
// those of the login there. Without others' permissions fewer are listed.
func (s *served) permitted() []string {
	var questions []string
	listed, _ := s.ask("/access/permissions").(map[string]any)
	for path := range listed {
		questions = append(questions, "/access/permissions?path="+path)
	}
	for _, path := range []string{"/", "/vms", "/vms/100", "/storage/local", "/nodes", "/pool", "/sdn/zones/localnetwork/vmbr0", "/access/groups"} {
		questions = append(questions, "/access/permissions?path="+path)
	}
	return questions
}

// captureInside is capture without real connections, which take most of the time.
func (s *served) captureInside(keep bool) *capture.Result {
	s.t.Helper()
	options := s.options()
	options.KeepNames, options.Transport = keep, s.sim.Transport()
	result, err := capture.Capture(s.t.Context(), options)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func load(t *testing.T, result *capture.Result) (file string, world pvesim.World) {
	t.Helper()
	text, err := result.YAML()
	if err != nil {
		t.Fatal(err)
	}
	world, err = pvesim.LoadWorld(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), world
}

// sights are what a client looks at, but for the VMs' configurations.
func sights(world pvesim.World) []string {
	all := []string{"/version", "/nodes", "/cluster/status", "/cluster/options", "/cluster/resources", "/cluster/mapping/pci", "/storage",
		"/pools", "/cluster/ha/resources"}
	for _, host := range world.Hosts {
		for _, call := range []string{"status", "network", "hardware/pci", "hardware/pci?pci-class-blacklist=", "storage", "qemu"} {
			all = append(all, "/nodes/"+host.Name+"/"+call)
		}
	}
	for _, vm := range world.VMs {
		for _, call := range []string{"config", "pending", "status/current"} {
			all = append(all, fmt.Sprintf("/nodes/%s/qemu/%d/%s", vm.Host, vm.ID, call))
		}
	}
	return all
}

// passing are values that differ between any two moments or clusters, and those
// that a capture leaves out by design: times, digests, comments, paths.
var passing = []string{"uptime", "digest", "pid", "ctime", "ssl_fingerprint", "mem", "memhost", "memory", "used", "avail", "used_fraction",
	"disk", "cpu", "comment", "comments", "free", "path", "description", "nodeid", "priority"}

// translation writes an answer with other names, in an order of its own.
type translation map[string]map[string]string

func (names translation) value(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, part := range v {
			if !slices.Contains(passing, key) {
				out[names.text(key)] = names.under(key).value(part)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, part := range v {
			if option, ok := part.(map[string]any); ok && option["key"] == "digest" {
				continue
			}
			out = append(out, names.value(part))
		}
		slices.SortFunc(out, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return out
	case string:
		return names.text(v)
	}
	return value
}

// under are the names that values of a key may be: in these no word is a name.
func (names translation) under(key string) translation {
	if slices.Contains([]string{"content", "bridge_stp", "type", "status", "plugintype"}, key) {
		return nil
	}
	return names
}

var (
	macs      = regexp.MustCompile(`(?:[0-9A-F]{2}:){5}[0-9A-F]{2}`)
	addresses = regexp.MustCompile(`\b(\d+\.\d+\.\d+)\.\d+\b`)
	asides    = regexp.MustCompile(`,ctime=\d+$|,description=canarysecret$`)
	words     = regexp.MustCompile(`[A-Za-z0-9_.-]+`)
	listForm  = regexp.MustCompile(`^[a-z]+(,[a-z]+)+$`)
)

// text changes each word of a text that is a name.
func (names translation) text(text string) string {
	text = asides.ReplaceAllString(text, "")
	text = macs.ReplaceAllStringFunc(text, func(mac string) string { return cmp.Or(names["mac"][mac], mac) })
	text = addresses.ReplaceAllStringFunc(text, func(address string) string {
		net := addresses.FindStringSubmatch(address)[1]
		return cmp.Or(names["network"][net], net) + strings.TrimPrefix(address, net)
	})
	text = words.ReplaceAllStringFunc(text, func(word string) string {
		for _, kind := range []string{"host", "vm", "storage", "pool", "mapping", "tag", "uuid", "vmgenid", "bridge", "cluster", "port", "resource", "token",
			"realm", "group", "other", "role"} {
			if pseudonym, ok := names[kind][word]; ok {
				return pseudonym
			}
		}
		return word
	})
	// Tags and kinds of content have no order that lasts.
	for _, separator := range []string{";", ","} {
		if parts := strings.Split(text, separator); len(parts) > 1 && (separator == ";" || listForm.MatchString(text)) {
			slices.Sort(parts)
			text = strings.Join(parts, separator)
		}
	}
	return text
}

// scenarios are clusters, and a login of each.
func scenarios(t *testing.T) map[string]struct {
	world pvesim.World
	login string
} {
	type scenario = struct {
		world pvesim.World
		login string
	}
	offline := loadWorld(t, "homelab")
	offline.Hosts[1].Offline = true
	older := loadWorld(t, "homelab")
	older.Version = "8.4.1"
	for i, privilege := range older.Roles["GpuWorkerVM"] {
		if strings.HasPrefix(privilege, "VM.GuestAgent.") {
			older.Roles["GpuWorkerVM"][i] = "VM.Monitor"
		}
	}
	older.Roles["GpuWorkerVM"] = slices.Compact(older.Roles["GpuWorkerVM"])
	fleet, err := pvesim.ParseFleet("10+1x1x2")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]scenario{
		"a fleet of more than nine hosts":               {fleet.World(), "gpuworker@pve!engine"},
		"a home lab, as its engine":                     {loadWorld(t, "homelab"), "gpuworker@pve!engine"},
		"a home lab, as an auditor":                     {loadWorld(t, "homelab"), "gpuworker@pve!audit"},
		"a home lab of version 8.4":                     {older, "gpuworker@pve!engine"},
		"a home lab with a host that is down":           {offline, "gpuworker@pve!engine"},
		"a single host without statistics, as root":     {loadWorld(t, "recorded"), "root@pam!auto"},
		"a single host without IOMMU, as an auditor":    {loadWorld(t, "recorded-no-iommu"), "auditor@pve!tk"},
		"a login that sees mappings only":               {loadWorld(t, "recorded"), "mapuse@pve!tk"},
		"a login that sees nothing":                     {loadWorld(t, "recorded"), "none@pve!tk"},
		"a login that sees no hardware":                 {loadWorld(t, "recorded"), "no-sys-audit@pve!tk"},
		"a login with permissions here and there":       {loadWorld(t, "recorded"), "scoped@pve!tk"},
		"a cluster with all that a world has room for":  {everything(t), "gpuworker@pve!engine"},
		"a cluster with all, seen by one who may audit": {everything(t), "gpuworker@pve!audit"},
		"a cluster with all, of which VMs are seen":     {everything(t), "gpuworker@pve!vms"},
	}
}

// unseen tells an answer with something in it that follows from what the login
// may not see, and that is noted: tags that are offered, and HA.
func unseen(real *served, path string) bool {
	return (path == "/cluster/options" || strings.HasSuffix(path, "/status/current")) && strings.HasPrefix(fmt.Sprint(real.ask("/cluster/status")), "403")
}

// hundredths of a GiB is how exact sizes are.
var hundredths = gocmp.Comparer(func(a, b float64) bool {
	return a == b || min(a, b) > 1<<30 && math.Abs(a-b) < 0.01*(1<<30)
})

func TestACapturedClusterAnswersLikeTheRealOne(t *testing.T) {
	for name, scenario := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			real := serve(t, scenario.world, scenario.login)
			result := real.capture(false)
			_, world := load(t, result)
			captured := serve(t, world, result.Login)
			names := translation(result.Names)
			for _, path := range slices.Concat(sights(scenario.world), real.permitted()) {
				if unseen(real, path) {
					continue
				}
				want, got := names.value(real.ask(path)), translation(nil).value(captured.ask(names.text(path)))
				if diff := gocmp.Diff(comparable(path, want), comparable(path, got), hundredths); diff != "" {
					t.Errorf("%s (-real +captured):\n%s", path, diff)
				}
			}
		})
	}
}

func TestEveryLoginHasTheSamePermissionsInTheCapturedWorld(t *testing.T) {
	world := loadWorld(t, "recorded")
	for i, token := range world.Tokens {
		if strings.HasPrefix(token.ID, "disabled@") || strings.HasPrefix(token.ID, "gone@") || token.Expire != 0 {
			continue // they cannot log in
		}
		if i%thorough.Every > 0 {
			continue
		}
		t.Run(token.ID, func(t *testing.T) {
			t.Parallel()
			real := serve(t, world, token.ID)
			result := real.captureInside(true)
			_, loaded := load(t, result)
			captured := serve(t, loaded, result.Login)
			names := translation(result.Names)
			for _, path := range real.permitted() {
				if diff := gocmp.Diff(names.value(real.ask(path)), translation(nil).value(captured.ask(names.text(path)))); diff != "" {
					t.Errorf("%s (-real +captured):\n%s", path, diff)
				}
			}
		})
	}
}

func TestCapturingACapturedWorldGivesTheSameFile(t *testing.T) {
	for name, scenario := range scenarios(t) {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, keeping names: %t", name, keep), func(t *testing.T) {
				t.Parallel()
				result := serve(t, scenario.world, scenario.login).captureInside(keep)
				first, world := load(t, result)
				result = serve(t, world, result.Login).captureInside(keep)
				second, world := load(t, result)
				// What a world has no room for is noted the first time only.
				if diff := gocmp.Diff(below(first), below(second)); diff != "" {
					t.Errorf("(-first +second):\n%s", diff)
				}
				third, _ := load(t, serve(t, world, result.Login).captureInside(keep))
				if diff := gocmp.Diff(second, third); diff != "" {
					t.Errorf("(-second +third):\n%s", diff)
				}
			})
		}
	}
}

// below is a file without the notes at its head.
func below(file string) string {
	_, body, _ := strings.Cut(file, "\n\n")
	return body
}

// shuffled mixes the lists of answers: the real API gives them in the order of
// a hash.
type shuffled struct {
	next http.RoundTripper
	seed uint64
}

func (s shuffled) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if list, ok := answer["data"].([]any); ok {
		rand.New(rand.NewPCG(s.seed, 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	text, err := json.Marshal(answer)
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response, err
}

func TestTheOrderOfAnswersDoesNotMatter(t *testing.T) {
	for name, scenario := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := serve(t, scenario.world, scenario.login)
			want, _ := load(t, cluster.captureInside(false))
			for seed := range uint64(2) {
				options := cluster.options()
				options.Transport = shuffled{cluster.sim.Transport(), seed}
				result, err := capture.Capture(t.Context(), options)
				if err != nil {
					t.Fatal(err)
				}
				got, _ := load(t, result)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("(-as it comes +shuffled with %d):\n%s", seed, diff)
				}
			}
		})
	}
}

func TestNoCanaryLeavesTheCluster(t *testing.T) {
	for _, login := range []string{"gpuworker@pve!engine", "gpuworker@pve!audit", "canarysecret.person@pve!canarysecret-token"} {
		world := everything(t)
		// Errors of the server have real names in them.
		world.Faults = []pvesim.Fault{
			{Path: "/qemu/101/pending$", Effect: pvesim.Status, Code: 500, Text: "Configuration file 'nodes/canaryname-h10/canarysecret' is broken", Times: -1},
			{Path: "/canaryname-h2/network$", Effect: pvesim.Status, Code: 500, Text: "canaryname-h2: canarysecret", Times: -1},
			{Path: "/canaryname-h2/qemu$", Effect: pvesim.Status, Code: 595, Text: "canaryname-h2: No route to canarysecret", Times: -1},
		}
		cluster := serve(t, world, login)
		for keep, canaries := range map[bool][]string{
			false: {"canary", "cafe", "beef", "10.20.30", "172.16", "fd00:ca", "AA:BB:CC", "00:16:3E"},
			true:  {"canarysecret", "cafe", "10.20.30", "172.16", "fd00:ca", "AA:BB:CC", "00:16:3E"},
		} {
			result := cluster.captureInside(keep)
			file, _ := load(t, result)
			for _, canary := range canaries {
				if at := strings.Index(strings.ToLower(file), strings.ToLower(canary)); at >= 0 {
					t.Errorf("%s, keeping names %t: %q is in the file: …%s…", login, keep, canary, file[max(0, at-60):min(len(file), at+60)])
				}
			}
			for _, note := range result.Notes {
				if text := strings.ToLower(note.String()); strings.Contains(text, "canarysecret") || !keep && strings.Contains(text, "canary") {
					t.Errorf("%s, keeping names %t: a note has a canary: %s", login, keep, note)
				}
			}
			if keep && !strings.Contains(file, "name: canaryname-h1\n") {
				t.Errorf("%s: keeping names lost that of a host", login)
			}
		}
	}
}

// scrubbed are options that a capture changes beyond names. That they are
// changed well is tested where it is done.
var scrubbed = []string{"args", "description", "cpu", "hookscript", "nameserver", "searchdomain", "ciuser", "sshkeys", "cicustom", "smbios1",
	"serial0", "amd-sev", "hostpci0", "scsi0", "scsi1", "ide2", "ipconfig0"}

// comparable leaves out of an answer about a VM what a capture changes.
func comparable(path string, answer any) any {
	if !strings.Contains(path, "/qemu/") && !strings.Contains(path, "/mapping/") {
		return answer
	}
	switch v := answer.(type) {
	case map[string]any:
		for _, key := range scrubbed {
			delete(v, key)
		}
	case []any:
		return slices.DeleteFunc(v, func(part any) bool {
			option, _ := part.(map[string]any)
			key, _ := option["key"].(string)
			delete(option, "description")
			return slices.Contains(scrubbed, key)
		})
	}
	return answer
}
