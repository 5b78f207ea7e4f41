package proxmox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// guest answers every call as a guest agent that reports these addresses.
type guest struct{ addresses []string }

func (g guest) RoundTrip(request *http.Request) (*http.Response, error) {
	var list []map[string]any
	for _, address := range g.addresses {
		list = append(list, map[string]any{"ip-address": address, "ip-address-type": "ipv4", "prefix": 24})
	}
	body, err := json.Marshal(map[string]any{"data": map[string]any{"result": []any{map[string]any{"name": "eth0", "ip-addresses": list}}}})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: request}, nil
}

func TestOnlyValidGuestAddressesAreKept(t *testing.T) {
	var many []string
	for i := range 50_000 {
		many = append(many, fmt.Sprintf("10.0.%d.%d", i/256%256, i%256))
	}
	for name, test := range map[string]struct{ says, want []string }{
		"addresses": {[]string{"192.0.2.21", "2001:DB8::1"}, []string{"192.0.2.21", "2001:db8::1"}},
		"what is no address": {
			[]string{"\x1b]0;owned\x07", "192.0.2.21; touch /tmp/x", "192.0.2.21\n", "", "2001:db8::1%$(id)", strings.Repeat("1", 1<<20), "192.0.2.22"},
			[]string{"192.0.2.22"},
		},
		"loopback, link-local and multicast": {[]string{"127.0.0.1", "::1", "fe80::1", "169.254.0.1", "224.0.0.1", "0.0.0.0"}, nil},
		"too many":                           {many, many[:maxGuestAddresses]},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := openOver(t, guest{test.says}, "a@pve!engine=00000000-0000-0000-0000-000000000000").guestAddresses(t.Context(), "pve1", 9101)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// TestTheWaitSaysWhatIsMissing: the agent, or an address.
func TestTheWaitSaysWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		guest http.RoundTripper
		want  string
	}{
		"no address": {guest{[]string{"169.254.0.1"}}, "an address of the guest; its agent answers and reports none"},
		"no agent":   {agentless{}, "the guest agent"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openOver(t, test.guest, "a@pve!engine=00000000-0000-0000-0000-000000000000")
			addresses, wait, err := b.Backend.Agent(t.Context(), inventory.VMRef{Host: "pve1", ID: "9101"}, "")
			if err != nil || len(addresses) > 0 || wait == nil || wait.For != test.want {
				t.Errorf("%q, %+v, %v; want to wait for %q", addresses, wait, err, test.want)
			}
		})
	}
}

// agentless answers every call as a host whose guest has no agent.
type agentless struct{}

func (agentless) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusInternalServerError, Status: "500 QEMU guest agent is not running", Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(`{"data":null,"message":"QEMU guest agent is not running\n"}`)), Request: request,
	}, nil
}
