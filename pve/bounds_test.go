package pve

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes the program allocates during a call.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestAHugeAnswerTakesBoundedMemory sends an answer of the maximum size, or an eighth
// of it, consisting of the smallest possible entries. Each entry becomes a struct of
// a few hundred bytes, so that without a limit the program would run out of memory.
func TestAHugeAnswerTakesBoundedMemory(t *testing.T) {
	ctx := context.Background()
	const all, eighth = 31 << 20, 4 << 20
	full := func(size int, entry string) string {
		return "[" + strings.Repeat(entry+",", size/(len(entry)+1)) + entry + "]"
	}
	resources := func(c *Client) error { _, err := c.Resources(ctx, ""); return err }
	for name, tt := range map[string]struct {
		data, want string
		do         func(*Client) error
	}{
		"entries without anything": {full(all, `{}`), `data[0] has no "id"`, resources},
		"nulls":                    {full(eighth, `null`), `data[0] has no "id"`, resources},
		"entries with their keys":  {full(eighth, `{"id":"a","type":"b"}`), "more than 100000 entries", resources},
		"strings": {full(eighth, `""`), "more than 100000 entries", func(c *Client) error {
			var list []string
			return c.do(ctx, get("/x"), &list)
		}},
		"lists in a field that nobody reads": {`[{"id":"a","type":"b","x":` + full(eighth, `[]`) + `}]`, "", resources},
		"a deep nest in a field that nobody reads": {
			`[{"id":"a","type":"b","x":` + strings.Repeat("[", eighth/2) + strings.Repeat("]", eighth/2) + `}]`, "", resources,
		},
		"lines of a log": {full(eighth, `{"t":"","n":1}`), "more than 100000 entries", func(c *Client) error {
			upid, _ := ParseUPID(testUPID)
			_, _, err := c.TaskLog(ctx, upid, 0, 0)
			return err
		}},
		"options of a VM": {
			`{` + strings.Repeat(`"":"",`, eighth/6) + `"a":"b"}`, "more than 100000 entries",
			func(c *Client) error { return c.do(ctx, get("/x"), new(map[string]string)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := inProcess(t, inTurn(says(tt.data)))
			var err error
			most := uint64(4*len(tt.data) + 144<<20) // the text, read twice over; and maxEntries in a slice that grows
			if n := allocated(func() { err = tt.do(c) }); n > most {
				t.Errorf("%d MiB took %d MiB, want at most %d", len(tt.data)>>20, n>>20, most>>20)
			}
			if got := fmt.Sprint(err); tt.want != "" && !strings.Contains(got, tt.want) {
				t.Errorf("%.200s\nwant %s", got, tt.want)
			}
		})
	}
}
