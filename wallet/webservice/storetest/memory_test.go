package storetest_test

import (
	"testing"

	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) webservice.Store { return &storetest.Memory{} })
}
