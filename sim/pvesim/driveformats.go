package pvesim

import "strings"

// Formats of drives. Each bus has its own set of properties: for example, all except
// virtio have ssd, and only virtio and SCSI have iothread.
var (
	ideFormat    = driveFormatOf("model", "ssd", "wwn")
	scsiFormat   = driveFormatOf("iothread", "product", "queues", "ro", "scsiblock", "ssd", "vendor", "wwn")
	sataFormat   = driveFormatOf("ssd", "wwn")
	virtioFormat = driveFormatOf("iothread", "ro")
	efiFormat    = firmwareFormat(specs{
		"efitype": oneOf("2m", "4m"), "pre-enrolled-keys": boolean(), "ms-cert": oneOf("2011", "2023", "2023w", "2023k"),
	})
	tpmFormat = firmwareFormat(specs{"version": oneOf("v1.2", "v2.0")})

	// driveFormat reads any valid drive.
	driveFormat = driveFormatOf("model", "iothread", "product", "queues", "ro", "scsiblock", "ssd", "vendor", "wwn",
		"efitype", "pre-enrolled-keys", "ms-cert", "version")
)

var volumeAlias = map[string]string{"volume": "file"}

// busProps are the properties that only some buses have.
var busProps = specs{
	"model": formatted(urlEncodedFormat).upTo(120), "product": matching(`[A-Za-z0-9\-_\s]{0,16}`), "vendor": matching(`[A-Za-z0-9\-_\s]{0,8}`),
	"queues": integer().atLeast(2), "ssd": boolean(), "iothread": boolean(), "ro": boolean(), "scsiblock": boolean(),
	"wwn": matching(`0x[0-9a-fA-F]{16}`), "efitype": text(), "pre-enrolled-keys": boolean(), "ms-cert": text(), "version": text(),
}

func driveFormatOf(names ...string) *propFormat {
	props := specs{
		"file": formatted(driveFileFormat).req(), "size": formatted(diskSizeFormat), "media": oneOf("cdrom", "disk"),
		"format": oneOf("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"),
		"cache":  oneOf("none", "writethrough", "writeback", "unsafe", "directsync"),
		"aio":    oneOf("native", "threads", "io_uring"), "discard": oneOf("ignore", "on"),
		"serial": formatted(urlEncodedFormat).upTo(60), "import-from": formatted(importFormat),
		"rerror": oneOf("ignore", "report", "stop"), "werror": oneOf("enospc", "ignore", "report", "stop"),
	}
	for _, name := range []string{"backup", "replicate", "shared", "snapshot", "detect_zeroes"} {
		props[name] = boolean()
	}
	for _, name := range []string{"", "_rd", "_wr"} {
		props["mbps"+name], props["mbps"+name+"_max"] = numeric(), numeric()
		props["iops"+name], props["iops"+name+"_max"] = integer(), integer()
		props["bps"+name] = integer()
		props["bps"+name+"_max_length"], props["iops"+name+"_max_length"] = integer().atLeast(1), integer().atLeast(1)
	}
	for _, name := range names {
		props[name] = busProps[name]
	}
	return &propFormat{defaultKey: "file", alias: volumeAlias, props: props}
}

// firmwareFormat is the format of EFI variable stores and TPM states.
func firmwareFormat(more specs) *propFormat {
	return &propFormat{defaultKey: "file", alias: volumeAlias, props: merge(more, specs{
		"file": formatted(driveFileFormat).req(), "format": oneOf("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"),
		"size": formatted(diskSizeFormat), "import-from": formatted(importFormat),
	})}
}

// importFormat accepts a volume or an absolute path.
func importFormat(_, v string) string {
	if strings.HasPrefix(v, "/") {
		return ""
	}
	return volumeFormat("", v)
}

// needs are limits that require another limit.
var needs = map[string]string{
	"mbps_max": "mbps", "mbps_rd_max": "mbps_rd", "mbps_wr_max": "mbps_wr",
	"bps_max_length": "mbps_max", "bps_rd_max_length": "mbps_rd_max", "bps_wr_max_length": "mbps_wr_max",
	"iops_max_length": "iops_max", "iops_rd_max_length": "iops_rd_max", "iops_wr_max_length": "iops_wr_max",
}

// contradicts reports whether valid properties of a drive exclude each other.
func (d drive) contradicts(key string) bool {
	set := func(name string) bool { return d.props[name] != "" && d.props[name] != "0" }
	for name, other := range needs {
		if set(name) && !set(other) {
			return true
		}
	}
	for _, what := range []string{"mbps", "iops"} {
		if set(what) && (set(what+"_rd") || set(what+"_wr")) {
			return true
		}
	}
	// The file "none" alone does not make the drive a CD drive.
	explicit := d.props["media"] == "cdrom" && !d.implied
	return explicit && (set("snapshot") || set("format") || hasIndex(key, "virtio"))
}
