// Package plan is the plan as data: the request of a person, and for each worker what
// would be done, where and why, or why it is refused. A plan is printed, written as
// JSON, read again, and compared with a later plan. Package planner makes it, package
// apply carries it out.
package plan
