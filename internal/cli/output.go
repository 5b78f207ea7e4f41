package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/gpuworker/gpuworker/internal/machine"
)

// machine prints a value as -o json or -o yaml says.
func (a *app) machine(value any) error { return encode(a.Out, a.output, value) }

func encode(w io.Writer, output string, value any) error {
	write := machine.JSON
	if output == outYAML {
		write = machine.YAML
	}
	data, err := write(value)
	if err != nil {
		return fmt.Errorf("write the result as %s: %w", output, err)
	}
	_, err = w.Write(data)
	return err
}

const gibibyte = 1 << 30

// gib writes bytes as whole GiB, the unit in which people think of hosts.
func gib(bytes int64) string { return strconv.FormatInt((bytes+gibibyte/2)/gibibyte, 10) }

// seconds writes a duration as operators say it: 4s, 1m30s; "" below half a second.
func seconds(d time.Duration) string {
	d = d.Round(time.Second)
	if d <= 0 {
		return ""
	}
	text := d.String()
	if d >= time.Hour {
		return text[:len(text)-len("0s")]
	}
	return text
}

// number writes an ID, "" for none.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func quote(text string) string { return strconv.Quote(text) }

// count writes "1 worker", "3 workers".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
