package pvesim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// streams return random numbers that depend only on the seed, a name and how often that
// name was used. So the values of a clone of 9000 to 120 do not depend on other clients.
type streams struct {
	seed  uint64
	count map[string]uint64
}

func newStreams(seed uint64) *streams {
	return &streams{seed: seed, count: map[string]uint64{}}
}

// next returns the next generator for a name.
func (s *streams) next(format string, args ...any) *rand.Rand {
	name := fmt.Sprintf(format, args...)
	s.count[name]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s#%d", name, s.count[name])
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// newUUID returns a random (version 4) UUID.
func newUUID(r *rand.Rand) string {
	hi, lo := r.Uint64(), r.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

// newMAC returns a MAC address with the prefix of Proxmox.
func newMAC(r *rand.Rand) string {
	n := r.Uint32()
	return fmt.Sprintf("BC:24:11:%02X:%02X:%02X", n>>16&0xff, n>>8&0xff, n&0xff)
}
