package pvesim

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	badFileChar = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)
	uploadForms = map[string]*regexp.Regexp{
		"iso":    regexp.MustCompile(`(?i)^.+\.(?:iso|img)$`),
		"vztmpl": regexp.MustCompile(`(?i)^.+\.(?:tar|tar\.(?:gz|xz|zst|bz2))$`),
		"import": regexp.MustCompile(`^.+\.(?:ova|qcow2|raw|vmdk)$`),
	}
)

// uploadName is the name on the storage of an uploaded file: the last part of a path, with
// "_" in place of each byte that is not allowed.
func uploadName(name string) string {
	name = strings.TrimSpace(name)
	return badFileChar.ReplaceAllString(name[strings.LastIndexAny(name, `/\`)+1:], "_")
}

// uploadFile accepts a file. It overwrites silently; a wrong checksum is an error of the
// task.
func (s *Sim) uploadFile(r *request) (any, error) {
	st, err := s.storageOn(r.node(), r.args.get("storage"))
	if err != nil {
		return nil, err
	}
	content, name := r.args.get("content"), uploadName(r.args.get("filename"))
	switch {
	case r.file == nil:
		return nil, &apiError{status: 400, reason: "Bad Request", bare: true}
	case !st.files():
		return nil, die("can't upload to storage type '%s'", st.Type)
	case !uploadForms[content].MatchString(name) && content == "import":
		return nil, badParam("filename", "invalid filename or wrong extension")
	case !uploadForms[content].MatchString(name):
		return nil, badParam("filename", "wrong file extension")
	case !st.holds(content):
		return nil, die("storage '%s' does not support '%s' content", st.Name, content)
	}
	if _, err := s.activeStorage(r.node(), st.Name); err != nil {
		return nil, err
	}
	v := &volume{name: content + "/" + name, content: content, format: fileFormat(content), size: r.file.size,
		data: r.file.data, empty: r.file.size == 0}
	if !st.Shared {
		v.node = r.node()
	}
	expected, algorithm, file := r.args.get("checksum"), r.args.get("checksum-algorithm"), r.file
	return s.startTask(r, r.node(), "imgcopy", "", func(t *task) error {
		temp := fmt.Sprintf("/var/tmp/pveupload-%032x", t.rng.Uint64())
		t.say("starting file import from: %s", temp)
		if expected != "" {
			if got := file.checksum(algorithm); !strings.EqualFold(got, expected) {
				t.say("calculating checksum...")
				return die("checksum mismatch: got '%s' != expect '%s'", got, expected)
			}
			t.say("calculating checksum...OK, checksum verified")
		}
		return s.importFile(t, st, v, temp)
	}), nil
}

// importFile copies an uploaded file to its place. A file of the same name is overwritten
// in place, so that a VM that has it as its CD reads the new content; it is lost if the
// copy fails.
func (s *Sim) importFile(t *task, st *storage, v *volume, temp string) error {
	s.lock()
	defer s.unlock()
	t.note("target node: %s", t.node)
	t.note("target file: %s", st.path(v))
	t.note("file size is: %d", v.size)
	lost := t.fault != nil && t.fault.Effect == UploadLost
	if lost {
		t.note("command: /usr/bin/scp -o BatchMode=yes -p -- %s [%s]:%s", temp, s.hosts[t.node].IP, st.path(v))
	} else {
		t.note("command: cp -- %s %s", temp, st.path(v))
	}
	if err := s.pause(t, s.timings.Upload); err != nil {
		return err
	}
	if lost {
		return die(`import failed: /usr/bin/scp: stat local "%s": No such file or directory`, temp)
	}
	if old := st.find(t.node, v.name); old != nil {
		s.remove(st, old)
	}
	if st.full(t.node, v.size) {
		return die("import failed: cp: error writing '%s': No space left on device", st.path(v))
	}
	v.ctime = time.Now()
	st.add(v)
	s.changed(VolumeCreated, t.node, 0, st.volid(v))
	t.note("finished file import successfully")
	return nil
}

// Upload returns the content of a file that was uploaded, for tests that look into it or
// give it to a real VM; ok is false if there is none, or if it has more than 16 MiB.
func (s *Sim) Upload(host, volid string) (data []byte, ok bool) {
	s.lock()
	defer s.unlock()
	_, v := s.volumeOf(host, drive{file: volid})
	if v == nil || v.data == nil {
		return nil, false
	}
	return bytes.Clone(v.data), true
}
