//go:build race

package thorough

const every = 7
