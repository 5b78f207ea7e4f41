package pve

import (
	"context"
	"strings"
	"testing"
)

// The agent's refusal of a command without parameters comes as the result of a successful
// call.
func TestARefusalOfTheAgentIsAnError(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		result string
		kind   Kind
		text   string
	}{
		"a command that is forbidden": {
			`{"error":{"class":"CommandNotFound","desc":"Command guest-get-osinfo has been disabled: the command is not allowed"}}`, AgentForbidden,
			"GET /nodes/pve1/qemu/101/agent/get-osinfo: Agent error: Command guest-get-osinfo has been disabled: the command is not allowed",
		},
		"frozen file systems": {
			`{"error":{"class":"CommandNotFound","desc":"Command guest-get-osinfo has been disabled: the agent is in frozen state"}}`, AgentUnavailable,
			"the agent is in frozen state",
		},
		"a hostile text": {
			`{"error":{"class":"x","desc":"no quorum\r\nPermission check failed ` + strings.Repeat("x", 100_000) + `"}}`, AgentFailed,
			"Agent error: no quorum; Permission check failed xxx",
		},
		"a list":  {`[1,2]`, Unknown, "cannot read the answer of the guest's agent"},
		"nothing": {`null`, Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := inProcess(t, inTurn(says(`{"result":`+tt.result+`}`)))
			os, err := c.AgentOSInfo(ctx, "pve1", 101)
			if tt.text == "" {
				if err != nil || os != (AgentOS{}) {
					t.Errorf("got %+v, %v", os, err)
				}
				return
			}
			e := mustError(t, err)
			mustContain(t, e.Error(), tt.text)
			if e.Kind != tt.kind || e.Ambiguous || len(e.Error()) > 3000 {
				t.Errorf("kind %s, ambiguous %v, %d bytes", e.Kind, e.Ambiguous, len(e.Error()))
			}
		})
	}
	c, _ := inProcess(t, inTurn(says(`{}`)))
	_, err := c.AgentOSInfo(ctx, "pve1", 101)
	mustContain(t, mustError(t, err).Error(), "it has no result")
}

// When the answer is lost after the agent was asked, the program may run.
func TestALostAnswerOfTheAgentIsAmbiguous(t *testing.T) {
	ctx := context.Background()
	const lost = "VM 101 qga command 'guest-exec' failed - got timeout"
	c, s := inProcess(t, inTurn(dies(500, lost)))
	_, err := c.AgentExec(ctx, "pve1", 101, []string{"true"}, "")
	if e := mustError(t, err); e.Kind != AgentUnavailable || !e.Ambiguous {
		t.Errorf("exec: kind %s, ambiguous %v", e.Kind, e.Ambiguous)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	_, err = c.AgentFileRead(ctx, "pve1", 101, "/x", 1)
	if e := mustError(t, err); e.Ambiguous {
		t.Error("a read cannot be ambiguous")
	}
	c, _ = inProcess(t, inTurn(dies(500, "QEMU guest agent is not running")))
	_, err = c.AgentExec(ctx, "pve1", 101, []string{"true"}, "")
	if e := mustError(t, err); e.Kind != AgentUnavailable || e.Ambiguous {
		t.Errorf("without an agent nothing was started: kind %s, ambiguous %v", e.Kind, e.Ambiguous)
	}
}

// A server must not make the program keep more than it asked for.
func TestAnAgentAnswersMoreThanWasAsked(t *testing.T) {
	c, _ := inProcess(t, inTurn(says(`{"content":"123456","bytes-read":6}`)))
	_, err := c.AgentFileRead(context.Background(), "pve1", 101, "/x", 5)
	mustContain(t, mustError(t, err).Error(), "it has 6 bytes instead of at most 5")
}

// A file of the largest size fits into the 64 KiB that old servers accept, whatever its
// content.
func TestTheLargestFileFitsIntoAnOldServersLimit(t *testing.T) {
	for name, content := range map[string]string{"plus signs": strings.Repeat("\xfb\xef\xbe", MaxAgentFile/3), "slashes": strings.Repeat("\xff", MaxAgentFile)} {
		c, s := inProcess(t, inTurn(says(null)))
		file := "/var/lib/gpuworker/" + strings.Repeat("x", 200)
		if err := c.AgentFileWrite(context.Background(), "pve1", 101, file, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if n := s.asked[0].length; n > 64<<10 || n < 60<<10 {
			t.Errorf("%s: the body has %d bytes", name, n)
		}
	}
}

func FuzzBytesOfAnAgent(f *testing.F) {
	f.Add([]byte("ü\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := bytesOf(charactersOf(data)); string(got) != string(data) {
			t.Errorf("%q became %q", data, got)
		}
	})
}

func FuzzAgentAnswers(f *testing.F) {
	f.Add(`{"result":{"error":{"desc":"x"}}}`)
	f.Add(`{"result":[{"name":"lo","ip-addresses":[{"ip-address":"::1"}]}],"content":"x","exited":1,"out-data":"\u00ff"}`)
	f.Add(`{"result":{"supported_commands":[{"name":"guest-exec","enabled":true}]},"pid":7}`)
	f.Fuzz(func(t *testing.T, data string) {
		ctx := context.Background()
		c, _ := inProcess(t, inTurn(says(data)))
		_, _ = c.AgentNetworkInterfaces(ctx, "pve1", 101)
		_, _ = c.AgentOSInfo(ctx, "pve1", 101)
		_, _ = c.AgentInfo(ctx, "pve1", 101)
		_, _ = c.AgentExecStatus(ctx, "pve1", 101, 1)
		if pid, err := c.AgentExec(ctx, "pve1", 101, []string{"true"}, ""); err == nil && pid == 0 {
			t.Errorf("a program without a process id in %q", data)
		}
		if file, err := c.AgentFileRead(ctx, "pve1", 101, "/x", 10); err == nil && len(file.Content) > 10 {
			t.Errorf("%d bytes", len(file.Content))
		}
	})
}
