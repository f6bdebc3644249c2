package message

import "testing"

// BenchmarkRead is what reading a good message costs, which most are.
func BenchmarkRead(b *testing.B) {
	for name, text := range map[string]string{
		"line":    `{"to":"a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"}`,
		"parts":   `{"to":"a0b1c2d3e4f5061728394a5b6c7d8e9f","title":"Parcel on its way","body":"It arrives before noon.","thread_id":"parcels","expiration":"12h","priority":5,"badge":3}`,
		"escapes": `{"to":"a0b1c2d3e4f5061728394a5b6c7d8e9f","title":"\u041f\u043e\u0441\u044b\u043b\u043a\u0430 \ud83d\ude80","body":"\u0432 \u043f\u0443\u0442\u0438"}`,
		"payload": `{"to":"a0b1c2d3e4f5061728394a5b6c7d8e9f","payload":{"aps":{"alert":{"title":"Parcel on its way","body":"Es kommt vor Mittag."},"sound":"default"},"order":{"id":1234567,"lines":[1,2,3]}}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p Parser
			var m Message
			for b.Loop() {
				if p.Read(&m, []byte(text)) != nil || p.Merge(&m) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
