package pvesim

import "testing"

func TestAPoolThatIsNotThereIsAnErrorForAll(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		const text = "pool 'none' does not exist"
		got := sim.as(t, engineToken).do("GET", "/pools", "poolid", "none").refused(500, text)
		if want := `{"data":null,"message":"pool 'none' does not exist\n"}`; got.body != want {
			t.Errorf("the body is %s, want %s", got.body, want)
		}
		sim.asRoot(t, rootPass).do("GET", "/pools", "poolid", "none").refused(500, text)
		sim.asRoot(t, rootPass).do("GET", "/pools/none").refused(500, text)
	})
}
