package capture

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// answers is what a world says of itself, as JSON.
func answers(t testing.TB, file, token string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	options := Options{Endpoint: "https://pve1", Token: token, Transport: sim.Transport()}
	c, err := newClient(options)
	if err != nil {
		t.Fatal(err)
	}
	read, err := readCluster(t.Context(), c, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// world is what is made of answers, after what reading itself takes care of.
func world(data []byte) (file []byte, err error) {
	in := cluster{Hosts: map[string]*hostAnswers{}, VMs: map[int]*vmAnswers{}}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, errUnread
	}
	in.Login, in.Failed, in.Version = "a@pve!b", map[string]error{}, apiVersion{Version: "9.1.4"}
	for _, node := range in.Nodes {
		if in.Hosts[node.Node] == nil {
			in.Hosts[node.Node] = &hostAnswers{Silent: errors.New("it is away")}
		}
	}
	maps.DeleteFunc(in.Hosts, func(name string, host *hostAnswers) bool {
		return host == nil || !slices.ContainsFunc(in.Nodes, func(node apiNode) bool { return node.Node == name })
	})
	maps.DeleteFunc(in.VMs, func(id int, vm *vmAnswers) bool { return vm == nil || id < 100 || id > 999999999 })
	if len(in.Hosts) == 0 {
		return nil, errUnread
	}
	if file, err = build(&in, newNames(false, documentationNets(&in))).YAML(); err != nil {
		return nil, err
	}
	_, err = pvesim.LoadWorld(file)
	return file, err
}

var errUnread = errors.New("reading refuses such answers")

const (
	homelab    = "../../../testdata/worlds/homelab.yaml"
	everything = "testdata/everything.yaml"
)

// clusters are those whose answers are made odd.
func clusters(t testing.TB) [][]byte {
	t.Helper()
	return [][]byte{
		answers(t, homelab, "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111"),
		answers(t, everything, "gpuworker@pve!engine=11111111-cafe-4111-8111-111111111111"),
		answers(t, everything, "gpuworker@pve!vms=33333333-cafe-4333-8333-333333333333"),
	}
}

// FuzzAnswers: whatever a cluster answers, a world comes out that pvesim takes.
func FuzzAnswers(f *testing.F) {
	for _, seed := range clusters(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := world(data); err != nil && !errors.Is(err, errUnread) {
			t.Errorf("%v\n%s", err, file)
		}
	})
}

var odd = []any{"", " ", "-1", "99999999999999999999", "1e9", "0x", "a b", "../..", "x,y=z;q", "größe", "a\nb", "/", "@", "!", ":", "off", "::1/64",
	"0.0.0.0/0", "uuid=", "none", "local:iso/", "a:b:c", "true", nil}

// leaves counts texts in a document; put replaces the one of that number.
func leaves(document any, put int, with any) (changed any, count int) {
	switch v := document.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			part, n := leaves(v[key], put-count, with)
			v[key], count = part, count+n
		}
	case []any:
		for i := range v {
			part, n := leaves(v[i], put-count, with)
			v[i], count = part, count+n
		}
	case string:
		if put == 0 {
			return with, 1
		}
		return v, 1
	}
	return document, count
}

func TestOddAnswersStillMakeAWorld(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	made := 0
	for _, answers := range clusters(t) {
		var document any
		if err := json.Unmarshal(answers, &document); err != nil {
			t.Fatal(err)
		}
		_, count := leaves(document, -1, nil)
		for range tries {
			at, with := random.IntN(count), odd[random.IntN(len(odd))]
			if err := json.Unmarshal(answers, &document); err != nil {
				t.Fatal(err)
			}
			changed, _ := leaves(document, at, with)
			data, err := json.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			switch _, err := world(data); {
			case errors.Is(err, errUnread):
			case err != nil:
				t.Errorf("text %d as %q: %v", at, with, err)
			default:
				made++
			}
		}
	}
	if made < tries {
		t.Errorf("only %d worlds were made", made)
	}
}

// tries are how many texts of each cluster are made odd, one after another.
const tries = 20
