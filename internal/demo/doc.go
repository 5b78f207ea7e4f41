// Package demo tells the product's story against a simulated cluster inside
// this process: the commands are the real ones, run by the real program over a
// real TLS connection to the loopback interface.
package demo
