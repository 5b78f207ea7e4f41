package proxmox

import (
	"context"
	"regexp"
	"time"
)

// progressEvery is how often the log of a full clone is read.
const progressEvery = 5 * time.Second

// progressForm is the line of a clone's log that shows the progress of a disk:
// "transferred 1.2 GiB of 32.0 GiB (3.75%)" (PVE::QemuServer, qemu_img_convert).
var progressForm = regexp.MustCompile(`^transferred ([0-9.]+ [KMGTP]?i?B of [0-9.]+ [KMGTP]?i?B \([0-9.]+%\))`)

// progress reads a clone's progress from its log, at most once per progressEvery. When
// the log cannot be read, the memo stays as it is.
func (b *Backend) progress(ctx context.Context, m memo) memo {
	const atOnce = 500 // lines
	if told := m.LogRead; time.Since(m.Since) < progressEvery || time.Since(told) < progressEvery {
		return m
	}
	m.LogRead = time.Now()
	lines, _, err := b.client.TaskLog(ctx, m.Task, m.LogLines, atOnce)
	if err != nil {
		return m
	}
	m.LogLines += len(lines)
	for _, line := range lines {
		if far := progressForm.FindStringSubmatch(line); far != nil {
			m.Far = far[1]
		}
	}
	return m
}
