// Package place chooses a host and a card for a worker, and says for every other
// host and card why it is refused. It is pure: the same world gives the same answer,
// in the same order.
//
// Each condition (is the host online, is the card alone in its IOMMU group, has the
// storage enough space, …) is checked by one function that returns a finding.
// Package place refuses by these findings, package check reports them.
package place
