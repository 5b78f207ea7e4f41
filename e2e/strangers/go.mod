module github.com/gpuworker/gpuworker/e2e/strangers

go 1.26

replace github.com/gpuworker/gpuworker => ../..

require (
	github.com/gpuworker/gpuworker v0.0.0-00010101000000-000000000000
	github.com/luthermonson/go-proxmox v0.8.0
)

require (
	github.com/buger/goterm v1.0.4 // indirect
	github.com/diskfs/go-diskfs v1.9.3 // indirect
	github.com/djherbis/times v1.6.0 // indirect
	github.com/gorilla/websocket v1.4.2 // indirect
	github.com/jinzhu/copier v0.3.4 // indirect
	github.com/magefile/mage v1.14.0 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
	golang.org/x/sys v0.43.0 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)
