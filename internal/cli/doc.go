// Package cli is the command line, with one file for each verb. A verb turns flags into
// one engine call and prints the result. It makes no decision that another front end
// would have to make too.
//
// Everything from outside (streams, environment, signals, the engine) comes through
// Program, so that tests run whole commands in-process.
package cli
