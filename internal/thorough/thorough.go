// Package thorough says how much tests do that cut a run short at each of its
// calls, or that try hundreds of seeds. Under the race detector, which makes them
// eight times as slow, they take every seventh; without it they take all. `make
// test` runs them both ways: races show in any of the runs, while a wrong step
// shows only in the run that is cut right there.
package thorough

// Every is how many cut points, or seeds, a test goes on by. It is odd, so that
// tests which alternate between two kinds of cuts meet both.
const Every = every

// Of is how many of n seeds a test takes, at least one.
func Of(n int) int { return (n + every - 1) / every }
