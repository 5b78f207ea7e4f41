package proxmox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// isoStorage is the storage for seeds.
func (b *Backend) isoStorage() string { return cmp.Or(b.spec.ISOStorage, v1alpha1.DefaultISOStorage) }

// What is waited for.
const (
	uploadWords      = "the image to be copied to the storage"
	otherUploadWords = "another upload to the host"
	deleteWords      = "the image to be removed"
)

// Progress of an upload, in memo.Count, besides that of a seed.
const (
	othersRun   = iota + 101 // other uploads run on the host
	othersEnded              // they have ended
)

// othersPatience limits the wait for uploads of others.
const othersPatience = time.Minute

// awaitImage waits for the memo's task. When the server does not know the task, or it is
// unknown whether the request arrived, the work begins again.
func (b *Backend) awaitImage(ctx context.Context, m memo) (memo, *hypervisor.Wait, error) {
	words := uploadWords
	if m.Task.Type == "imgdel" {
		words = deleteWords
	}
	state, err := b.poll(ctx, m)
	switch {
	case state == taskRunning && err == nil:
		return m, m.underWay(words), nil
	case state == taskRunning, state == taskEnded && err != nil:
		return m, nil, err
	case state == taskAbsent && (m.Sent || !m.Task.IsZero()):
		return memo{}, nil, nil
	}
	m.Task = pve.UPID{}
	return m, nil, nil
}

// uploadImage uploads an image under the name of a volume. m is the memo now, then the memo
// for the time when it is there.
func (b *Backend) uploadImage(ctx context.Context, ref inventory.VMRef, volume string, image []byte, m, then memo) (*hypervisor.Wait, error) {
	if wait, err := b.awaitOthers(ctx, ref, m); wait != nil || err != nil {
		return wait, err
	}
	sum := sha256.Sum256(image)
	file := pve.UploadFile{Content: "iso", Name: path.Base(volume), Size: int64(len(image)), SHA256: hex.EncodeToString(sum[:])}
	task, err := b.client.Upload(ctx, ref.Host, storageOf(volume), file, bytes.NewReader(image))
	wait, err := taskStarted(uploadWords, then.Count, task, err)
	if wait != nil && !task.IsZero() {
		sent := recall(wait.Handle)
		sent.Written = then.Written
		wait.Handle = sent.handle()
	}
	return wait, err
}

// awaitOthers waits until no upload runs on the host: it may be one of an earlier run of
// this program, which would write to the same file. After that it waits a random time: others
// may have waited for the same upload.
func (b *Backend) awaitOthers(ctx context.Context, ref inventory.VMRef, m memo) (*hypervisor.Wait, error) {
	if m.Count == othersEnded {
		return nil, nil
	}
	waited := m.Count == othersRun && !m.Since.IsZero()
	if !waited {
		m = memo{Since: time.Now(), Count: othersRun}
	}
	if time.Since(m.Since) > othersPatience {
		return nil, nil
	}
	tasks, err := b.client.Tasks(ctx, ref.Host, pve.TaskFilter{Source: "active", Type: "imgcopy"})
	switch {
	case err != nil:
		return nil, err
	case runs(tasks):
		return m.wait(otherUploadWords, pve.NextPoll(time.Since(m.Since))), nil
	case waited:
		const pause = 500 * time.Millisecond
		return memo{Count: othersEnded}.wait(otherUploadWords, rand.N(pause)), nil
	}
	return nil, nil
}

// removeImage removes an image. Where the login may not remove volumes, the image is
// overwritten by another one.
func (b *Backend) removeImage(ctx context.Context, ref inventory.VMRef, volume string, by []byte, m memo) (*hypervisor.Wait, error) {
	size, err := b.imageSize(ctx, ref, volume)
	switch {
	case err != nil, size < 0, isOverwritten(size):
		return nil, err
	case m.Count == mayNotRemove:
		return b.uploadImage(ctx, ref, volume, overwritten(by), m, memo{Count: mayNotRemove})
	}
	task, err := b.client.DeleteVolume(ctx, ref.Host, volume)
	switch {
	case noVolume(err):
		return callAgain(), nil
	case pve.KindOf(err) == pve.Denied:
		return memo{Count: mayNotRemove}.wait("", 0), nil
	}
	return taskStarted(deleteWords, 0, task, err)
}

// noVolume reports whether an error says that a volume is missing.
func noVolume(err error) bool { return pve.KindOf(err) == pve.NotFound && whatOf(err) == "volume" }

// whatOf is what an error of the client is about: "volume", "storage"; "" when it does not
// say.
func whatOf(err error) string {
	var e *pve.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.What
}

// observeSeeds lists the images of seeds on each host that has the storage; a storage that
// hosts share only once.
func (b *Backend) observeSeeds(ctx context.Context, s *inventory.Snapshot) {
	var local, sharing []*inventory.Host
	for i := range s.Hosts {
		host := &s.Hosts[i]
		storage := host.Storage(b.isoStorage())
		switch {
		case storage == nil, !host.Online, host.Skipped:
		case storage.Shared:
			sharing = append(sharing, host)
		default:
			local = append(local, host)
		}
	}
	for _, host := range sharing {
		if images, ok := b.hostSeeds(ctx, host); ok {
			s.Seeds = append(s.Seeds, images...)
			break
		}
	}
	var mu sync.Mutex
	_ = forEach(ctx, local, func(h *inventory.Host) string { return h.Name }, func(ctx context.Context, h *inventory.Host) error {
		images, _ := b.hostSeeds(ctx, h)
		mu.Lock()
		defer mu.Unlock()
		s.Seeds = append(s.Seeds, images...)
		return nil
	})
	slices.SortFunc(s.Seeds, func(x, y inventory.SeedImage) int {
		return cmp.Or(strings.Compare(x.Host, y.Host), strings.Compare(x.Volume, y.Volume))
	})
}

// hostSeeds lists the images that one host sees. When it cannot, the host has a gap.
func (b *Backend) hostSeeds(ctx context.Context, host *inventory.Host) (images []inventory.SeedImage, ok bool) {
	volumes, err := b.client.StorageContent(ctx, host.Name, b.isoStorage(), "iso")
	if err != nil {
		host.Gaps = append(host.Gaps, inventory.Gap{What: "images on storage " + b.isoStorage(), Why: err.Error()})
		return nil, false
	}
	for _, v := range volumes {
		if uuid, clean, ours := inventory.ParseSeedName(path.Base(v.ID)); ours {
			images = append(images, inventory.SeedImage{Host: host.Name, Volume: v.ID, UUID: uuid, Clean: clean || isOverwritten(v.Size), Size: v.Size})
		}
	}
	return images, true
}
