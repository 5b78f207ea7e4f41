package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// replay replaces the script's cluster by one from a world file, and uses one of its
// tokens: replay world.yaml 'user1@pve!token2'
func replay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: replay FILE TOKEN")
	}
	world, err := pvesim.LoadWorld([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	at := slices.IndexFunc(world.Tokens, func(token pvesim.Token) bool { return token.ID == args[1] })
	if at < 0 {
		ts.Fatalf("%s has no token %s", args[0], args[1])
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(timeScale), pvesim.WithLog(func(string, ...any) {}))
	ts.Check(err)
	server := httptest.NewTLSServer(sim)
	ts.Defer(func() {
		sim.Close()
		server.Close()
	})
	*clusterOf(ts) = cluster{sim: sim}
	sum := sha256.Sum256(server.Certificate().Raw)
	values := strings.NewReplacer("${ENDPOINT}", server.URL, "${FINGERPRINT}", hex.EncodeToString(sum[:]))
	ts.Check(os.WriteFile(ts.MkAbs("login.yaml"), []byte(values.Replace(loginDocuments)), 0o600))
	ts.Setenv("PVE_TOKEN", args[1]+"="+world.Tokens[at].Secret)
}
