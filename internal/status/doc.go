// Package status reports the state of each worker: what exists, where, which
// conditions hold, and what to do next. Conditions are made only here, so that the
// command line and a controller agree. The package is pure and uses plans: a worker
// needs attention exactly when its plan would change or refuse something.
package status
