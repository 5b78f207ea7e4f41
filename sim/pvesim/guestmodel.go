package pvesim

// seeded is what cloud-init took from its seed.
type seeded struct {
	hostname string
}

func cloudInitProgram(*Sim, *vm, GuestCall) (GuestResult, error) {
	return GuestResult{Missing: true}, nil
}

func gpuworkerGuestProgram(*Sim, *vm, GuestCall) (GuestResult, error) {
	return GuestResult{Missing: true}, nil
}

func nvidiaSMIProgram(*Sim, *vm, GuestCall) (GuestResult, error) {
	return GuestResult{Missing: true}, nil
}
