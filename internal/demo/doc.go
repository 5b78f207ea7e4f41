// Package demo runs the usual commands against a simulated cluster inside this process.
// The commands are those of the real program; they use a TLS connection to the loopback
// interface.
package demo
