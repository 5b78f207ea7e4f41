// Package cli is the command line: one file for each verb. A verb turns flags
// into one engine call and prints what comes back; it decides nothing that
// another front end would have to decide again.
//
// Everything from outside (streams, environment, signals, the engine itself)
// comes in through Program, so that tests run whole commands in-process.
package cli
