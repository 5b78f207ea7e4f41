package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
)

// digest hashes a large JSON object without holding its whole text in memory.
type digest struct {
	sum  hash.Hash
	text bytes.Buffer // of one value
	json *json.Encoder
}

// newDigest begins with the fields of a struct.
func newDigest(fields any) *digest {
	d := &digest{sum: sha256.New()}
	d.json = json.NewEncoder(&d.text)
	d.sum.Write(bytes.TrimSuffix(d.encode(fields), []byte("}")))
	return d
}

// addList adds a field that is a list. Elements for which value is nil are left out.
func addList[T any](d *digest, name string, list []T, value func(*T) any) {
	d.write(`,"` + name + `":[`)
	before := ""
	for i := range list {
		if v := value(&list[i]); v != nil {
			d.write(before)
			d.sum.Write(d.encode(v))
			before = ","
		}
	}
	d.write("]")
}

func (d *digest) write(text string) { d.sum.Write([]byte(text)) }

func (d *digest) encode(value any) []byte {
	d.text.Reset()
	if err := d.json.Encode(value); err != nil {
		panic("plan: a fingerprint is made of plain values: " + err.Error())
	}
	return bytes.TrimSuffix(d.text.Bytes(), []byte("\n"))
}

// end is the first digits of the hash.
func (d *digest) end() string {
	d.write("}")
	return hex.EncodeToString(d.sum.Sum(nil))[:12]
}
