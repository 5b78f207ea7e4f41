// Package thorough says how many cases are run by tests that interrupt a run at each
// of its calls, or that try hundreds of seeds. Under the race detector, which makes
// them eight times slower, they run every seventh case; without it, all. `make test`
// runs them both ways: a race shows in any case, but a wrong step shows only in the
// case that is interrupted there.
package thorough

// Every is the distance between two cases: cut points or seeds. It is odd, so that
// tests that alternate between two kinds of cuts run both.
const Every = every

// Of is how many of n seeds a test runs, at least one.
func Of(n int) int { return (n + every - 1) / every }
