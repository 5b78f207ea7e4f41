// Package status says how each worker is: what there is of it, where, what
// holds and what does not, and what to do next. Conditions are written here and
// nowhere else, so that the command line, a controller and whatever reads them
// agree. It is pure, and it judges as package plan does: a worker needs
// attention exactly when a plan would do something or refuse to.
package status
