package pvesim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// streams hand out random numbers that depend on the seed, a name and how
// often that name was asked for, and on nothing else: what a clone of 9000 to
// 120 gets does not change because another client was faster.
type streams struct {
	seed  uint64
	count map[string]uint64
}

func newStreams(seed uint64) *streams {
	return &streams{seed: seed, count: map[string]uint64{}}
}

// next is the next generator of a name.
func (s *streams) next(format string, args ...any) *rand.Rand {
	name := fmt.Sprintf(format, args...)
	s.count[name]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s#%d", name, s.count[name])
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// newUUID is a random (version 4) UUID.
func newUUID(r *rand.Rand) string {
	hi, lo := r.Uint64(), r.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

// newMAC is an address with the prefix that Proxmox uses.
func newMAC(r *rand.Rand) string {
	n := r.Uint32()
	return fmt.Sprintf("BC:24:11:%02X:%02X:%02X", n>>16&0xff, n>>8&0xff, n&0xff)
}
