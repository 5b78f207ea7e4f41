// Package place decides on which host, and with which card, a worker can live,
// and says for every host and card that cannot be why not. It is pure: the same
// world gives the same answer, in the same order.
//
// Each condition (is the host online, is the card alone in its IOMMU group, is
// there room on the storage, …) is judged by one function that returns a
// finding. Place uses them to refuse, package check to report.
package place
