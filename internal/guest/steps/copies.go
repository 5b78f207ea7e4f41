package steps

import (
	"bytes"
	"context"
	"fmt"
	"path"
)

// cloud-init keeps copies of the user-data of the present boot, with the operator's files
// and commands in them. The seed is exchanged for one without them, but until the next boot
// the copies would stay. Nothing needs them: cloud-init writes all of them again at each
// boot, from the seed that it finds (cloudinit/stages.py, Init.update and Init.fetch).

const (
	instancesDir = "var/lib/cloud/instances"
	cloudRun     = "run/cloud-init"
	// inFirstSeed is in each first seed, and in no clean one.
	inFirstSeed = "/etc/gpuworker/"
)

// instanceCopies are the copies of one instance. The one by which they are found is
// removed last, so that a run that was cut off is finished by the next one.
var instanceCopies = []string{"obj.pkl", "scripts/runcmd", "cloud-config.txt", "user-data.txt.i", "user-data.txt"}

// runCopies are those in memory.
var runCopies = []string{"instance-data-sensitive.json", "combined-cloud-config.json"}

// copies returns the files with copies of a first seed.
func (m *Machine) copies() []string {
	var found []string
	has := func(name string) bool {
		data, err := m.Tree.ReadFile(name)
		return err == nil && bytes.Contains(data, []byte(inFirstSeed))
	}
	for _, name := range runCopies {
		if file := path.Join(cloudRun, name); has(file) {
			found = append(found, file)
		}
	}
	instances, _ := m.Tree.ReadDir(instancesDir) // without cloud-init there are none
	for _, instance := range instances {
		last := path.Join(instancesDir, instance, instanceCopies[len(instanceCopies)-1])
		if !has(last) {
			continue
		}
		for _, name := range instanceCopies {
			file := path.Join(instancesDir, instance, name)
			if _, err := m.Tree.ReadFile(file); err == nil {
				found = append(found, file)
			}
		}
	}
	return found
}

func noCopies(j *job) bool { return len(j.copies()) == 0 }

// removeCopies removes them. cloud-init has ended: our service starts after it.
func removeCopies(_ context.Context, j *job) error {
	for _, name := range j.copies() {
		if err := j.Files.Remove(name); err != nil {
			return err
		}
		if err := j.log(fmt.Sprintf("removed /%s: cloud-init writes it again at the next boot", name), ""); err != nil {
			return err
		}
	}
	return nil
}

func never(*job) bool { return false }
