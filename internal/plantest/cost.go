package plantest

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/planner"
)

// maxBytes is the limit for bytes allocated in total for a plan of 5,000 workers.
const maxBytes = 300 << 20

// cost is the cost of a function: the minimum of several runs.
type cost struct {
	objects, bytes, processor float64
}

func costOf(do func()) cost {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := processorTime()
	do()
	took := processorTime() - began
	runtime.ReadMemStats(&after)
	return cost{float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc), float64(took)}
}

func (c cost) orLess(other cost) cost {
	return cost{min(c.objects, other.objects), min(c.bytes, other.bytes), min(c.processor, other.processor)}
}

// processorTime is the processor time of this process only.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Bench measures a function, with its processor time, which is the more reliable
// figure on a busy machine.
func Bench(b *testing.B, do func()) {
	b.Helper()
	b.ReportAllocs()
	began := processorTime()
	for b.Loop() {
		do()
	}
	b.ReportMetric((processorTime()-began).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// GrowsWithTheWorld fails when ten times the workers take much more than ten times the
// memory and processor time; quadratic growth would take a hundred times. The ratio is
// of two measurements in the same process, which are repeated while it is over a
// generous limit; quadratic growth stays over it. The first of the worlds is measured
// with 5,000 workers, which must not allocate more than maxBytes; the others are
// smaller, so that all of them together take only some seconds.
func GrowsWithTheWorld(t *testing.T, large Large, do func(planner.Input)) {
	t.Helper()
	const times, moreMemory, moreTime = 10, 15.0, 25.0
	workers := 100
	if large.Name == Worlds()[0].Name {
		workers = 500
	}
	one, ten := large.Input(workers), large.Input(times*workers)
	few, many := costOf(func() { do(one) }), costOf(func() { do(ten) })
	for range 9 {
		if many.processor <= moreTime*few.processor {
			break
		}
		few, many = few.orLess(costOf(func() { do(one) })), many.orLess(costOf(func() { do(ten) }))
	}
	ratio := func(what string, few, many, most float64) {
		t.Helper()
		if many > most*few {
			t.Errorf("%d times the workers take %.1f times the %s", times, many/few, what)
		}
	}
	ratio("objects", few.objects, many.objects, moreMemory)
	ratio("memory", few.bytes, many.bytes, moreMemory)
	ratio("processor time", few.processor, many.processor, moreTime)
	if many.bytes > maxBytes {
		t.Errorf("%d workers take %.0f MiB, the limit is %d MiB", times*workers, many.bytes/(1<<20), maxBytes>>20)
	}
}
