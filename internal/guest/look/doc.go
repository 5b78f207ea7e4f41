// Package look reads what a guest shows: its files, through a tree, and the answers of a
// few commands, through a runner. Both may be those of this machine or of a captured
// guest. It judges nothing; package check does.
package look
