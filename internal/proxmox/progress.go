package proxmox

import (
	"context"
	"regexp"
	"time"
)

// progressEvery is how often the log of a full clone is read.
const progressEvery = 5 * time.Second

// progressForm is how a clone says how far it is with a disk:
// "transferred 1.2 GiB of 32.0 GiB (3.75%)" (PVE::QemuServer, qemu_img_convert).
var progressForm = regexp.MustCompile(`^transferred ([0-9.]+ [KMGTP]?i?B of [0-9.]+ [KMGTP]?i?B \([0-9.]+%\))`)

// progress reads in a clone's log how far it is, now and then. When that cannot be
// read it stays at what was known.
func (b *Backend) progress(ctx context.Context, m memo) memo {
	const atOnce = 500 // lines
	if told := m.Told; time.Since(m.Since) < progressEvery || time.Since(told) < progressEvery {
		return m
	}
	m.Told = time.Now()
	lines, _, err := b.client.TaskLog(ctx, m.Task, m.Line, atOnce)
	if err != nil {
		return m
	}
	m.Line += len(lines)
	for _, line := range lines {
		if far := progressForm.FindStringSubmatch(line); far != nil {
			m.Far = far[1]
		}
	}
	return m
}
