package payload_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"aviso.example/payload"
)

// lintCase is one way to meet a rule, and the nearest payload that does not.
type lintCase struct {
	code    payload.Code
	t       payload.PushType
	linter  payload.Linter
	bad     string
	path    string
	good    string
	goodSet *payload.Linter // instead of linter for the good payload
}

var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func expires(seconds int64) payload.Linter {
	return payload.Linter{Expiration: &seconds, Now: now}
}

func withTopic(topic string) payload.Linter { return payload.Linter{Topic: topic} }

// activity makes a Live Activity payload out of the members of aps.
func activity(members string) string {
	return `{"aps":{"timestamp":1732200000,"content-state":{},` + members + `}}`
}

// start makes a Live Activity start that lacks an alert, and update one with a state.
func start(alert string) string {
	return activity(`"event":"start","attributes-type":"A","attributes":{},` + alert)
}

func update(state string) string {
	return `{"aps":{"timestamp":1732200000,"event":"update","content-state":` + state + `}}`
}

const (
	hi     = `{"aps":{"alert":"hi"}}`
	silent = `{"aps":{"content-available":1}}`
)

var lintCases = []lintCase{
	// What Apple rejects.
	{code: payload.CodePayloadEmpty, t: "alert", bad: ``, good: hi},
	{code: payload.CodePayloadTooLarge, t: "alert", bad: sized(4097), good: sized(4096)},
	{code: payload.CodePayloadTooLarge, t: "voip", bad: sized(5121), good: sized(5120)},
	{code: payload.CodePayloadTooLarge, t: "alert", bad: sized(70_000), good: sized(4096)},
	{code: payload.CodePayloadTooLarge, t: "liveactivity", linter: payload.Linter{Broadcast: true}, bad: sized(5121), good: sized(5120)},
	{code: payload.CodeUnknownPushType, t: "Alert", bad: hi, path: "apns-push-type", good: hi, goodSet: &payload.Linter{}},
	{code: payload.CodeUnknownPushType, t: "alert", linter: payload.Linter{Broadcast: true}, bad: hi, path: "apns-push-type", good: hi, goodSet: &payload.Linter{}},
	{code: payload.CodePriorityInvalid, t: "alert", linter: payload.Linter{Priority: 7}, bad: hi, path: "apns-priority", good: hi, goodSet: &payload.Linter{Priority: 1}},
	{code: payload.CodeExpirationInvalid, t: "alert", linter: expires(-1), bad: hi, path: "apns-expiration", good: hi, goodSet: new(expires(0))},
	{code: payload.CodeTopicSuffix, t: "voip", linter: withTopic("com.example.app"), bad: `{"k":1}`, path: "apns-topic", good: `{"k":1}`, goodSet: new(withTopic("com.example.app.voip"))},
	{code: payload.CodeTopicSuffix, t: "mdm", linter: withTopic("com.example.app"), bad: `{"mdm":"M"}`, path: "apns-topic", good: `{"mdm":"M"}`, goodSet: new(withTopic("com.apple.mgmt.External.1"))},
	{code: payload.CodeWalletEnvironment, linter: payload.Linter{Topic: "pass.com.example", Environment: payload.Sandbox}, bad: `{}`, path: "apns-topic", good: `{}`, goodSet: &payload.Linter{Topic: "pass.com.example", Environment: payload.Production}},

	// What Apple drops.
	{code: payload.CodeNotUTF8, t: "alert", bad: "{\"aps\":{\"alert\":\"gr\xfc\xdf\"}}", path: "/aps/alert", good: `{"aps":{"alert":"grüß"}}`},
	{code: payload.CodeNotUTF8, t: "alert", bad: "{\"aps\":{\"alert\":\"a\"},\"k\xff\":1}", good: hi},
	{code: payload.CodeByteOrderMark, t: "alert", bad: "\xef\xbb\xbf" + hi, good: hi},
	{code: payload.CodeMalformedJSON, t: "alert", bad: `{"aps":{"alert":"hi"},}`, good: hi},
	{code: payload.CodeMalformedJSON, t: "alert", bad: ` `, good: hi},
	{code: payload.CodeTooDeep, t: "alert", bad: `{"aps":{"alert":"a"},"k":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `}`,
		good: `{"aps":{"alert":"a"},"k":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `}`},
	{code: payload.CodeLoneSurrogate, t: "alert", bad: `{"aps":{"alert":"\ud83d"}}`, path: "/aps/alert", good: `{"aps":{"alert":"\ud83d\ude00"}}`},
	{code: payload.CodeNumberRange, t: "alert", bad: `{"aps":{"alert":"a"},"k":[1,1e400]}`, path: "/k/1", good: `{"aps":{"alert":"a"},"k":[1,1e300]}`},
	{code: payload.CodeDuplicateKey, t: "alert", bad: `{"aps":{"alert":"a","badge":1,"badg\u0065":2}}`, path: "/aps/badge", good: `{"aps":{"alert":"a","badge":1},"badge":1}`},
	{code: payload.CodeNotAnObject, t: "alert", bad: `["aps"]`, good: hi},
	{code: payload.CodeNotAnObject, t: "alert", bad: `"{\"aps\":{}}"`, good: hi},
	{code: payload.CodeAPSMissing, t: "alert", bad: `{"alert":"hi"}`, path: "/aps", good: hi},
	{code: payload.CodeAPSMissing, t: "liveactivity", bad: `{}`, path: "/aps", good: activity(`"event":"end"`)},
	{code: payload.CodeAPSNotObject, t: "alert", bad: `{"aps":"{\"alert\":\"hi\"}"}`, path: "/aps", good: hi},
	{code: payload.CodeAPSNotObject, t: "voip", bad: `{"aps":[],"k":1}`, path: "/aps", good: `{"aps":{},"k":1}`},
	{code: payload.CodeWrongType, t: "alert", bad: `{"aps":{"alert":"a","category":7}}`, path: "/aps/category", good: `{"aps":{"alert":"a","category":"7"}}`},
	{code: payload.CodeWrongType, t: "alert", bad: `{"aps":{"alert":{"loc-key":"k","loc-args":["a",1]}}}`, path: "/aps/alert/loc-args/1", good: `{"aps":{"alert":{"loc-key":"k","loc-args":["a","1"]}}}`},
	{code: payload.CodeWrongType, t: "liveactivity", bad: activity(`"event":"update","stale-date":"2026-11-22"`), path: "/aps/stale-date", good: activity(`"event":"update","stale-date":1732200001`)},
	{code: payload.CodeWrongType, t: "widgets", bad: `{"aps":{"content-changed":1}}`, path: "/aps/content-changed", good: `{"aps":{"content-changed":true}}`},
	{code: payload.CodeNumericString, t: "background", bad: `{"aps":{"content-available":"1"}}`, path: "/aps/content-available", good: silent},
	{code: payload.CodeNumericString, t: "alert", bad: `{"aps":{"badge":"3"}}`, path: "/aps/badge", good: `{"aps":{"badge":3}}`},
	{code: payload.CodeNothingToPresent, t: "alert", bad: `{"aps":{"alert":{"title":""},"thread-id":"x"}}`, path: "/aps", good: `{"aps":{"sound":"default"}}`},
	{code: payload.CodeNothingToPresent, t: "alert", bad: silent, path: "/aps", good: `{"aps":{"badge":0}}`},
	{code: payload.CodeContentAvailable, t: "background", bad: `{"aps":{}}`, path: "/aps/content-available", good: silent},
	{code: payload.CodeContentAvailable, t: "background", bad: `{"aps":{"content-available":0}}`, path: "/aps/content-available", good: `{"aps":{"content-available":true}}`},
	{code: payload.CodeBackgroundAlert, t: "background", bad: `{"aps":{"content-available":1,"sound":""}}`, path: "/aps/sound", good: silent},
	{code: payload.CodeBackgroundPriority, t: "background", linter: payload.Linter{Priority: 10}, bad: silent, path: "apns-priority", good: silent, goodSet: &payload.Linter{Priority: 5}},
	{code: payload.CodePresentationIgnored, t: "voip", bad: `{"aps":{"alert":"call"},"k":1}`, path: "/aps/alert", good: `{"k":1}`},
	{code: payload.CodePushTypeMismatch, t: "alert", bad: `{"aps":{"alert":"a","content-state":{}}}`, path: "/aps/content-state", good: hi},
	{code: payload.CodePushTypeMismatch, t: "alert", bad: `{"mdm":"M"}`, path: "/mdm", good: hi},
	{code: payload.CodeMDMMagic, t: "mdm", bad: `{"mdm":""}`, path: "/mdm", good: `{"mdm":"M"}`},
	{code: payload.CodeMDMMagic, t: "mdm", bad: `{"mdm":7}`, path: "/mdm", good: `{"mdm":"7"}`},
	{code: payload.CodeMDMExtraKey, t: "mdm", bad: `{"mdm":"M","aps":{}}`, path: "/aps", good: `{"mdm":"M"}`},
	{code: payload.CodeContainerIdentifier, t: "fileprovider", bad: `{"domain":"d"}`, path: "/container-identifier", good: `{"container-identifier":"` + payload.ContainerRoot + `","domain":"d"}`},
	{code: payload.CodeContentChanged, t: "controls", bad: `{"aps":{}}`, path: "/aps/content-changed", good: `{"aps":{"content-changed":true}}`},
	{code: payload.CodeContentChanged, t: "widgets", bad: `{"aps":{"content-changed":false}}`, path: "/aps/content-changed", good: `{"aps":{"content-changed":true}}`},
	{code: payload.CodeActivityTimestamp, t: "liveactivity", bad: `{"aps":{"event":"end","content-state":{}}}`, path: "/aps/timestamp", good: activity(`"event":"end"`)},
	{code: payload.CodeActivityEvent, t: "liveactivity", bad: activity(`"event":"stop"`), path: "/aps/event", good: activity(`"event":"end"`)},
	{code: payload.CodeActivityEvent, t: "liveactivity", bad: activity(`"event":null`), path: "/aps/event", good: activity(`"event":"end"`)},
	{code: payload.CodeActivityContentState, t: "liveactivity", bad: `{"aps":{"timestamp":1732200000,"event":"update"}}`, path: "/aps/content-state", good: activity(`"event":"update"`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: activity(`"event":"start","attributes":{},"alert":{"body":"b"}`), path: "/aps/attributes-type", good: activity(`"event":"start","attributes":{},"attributes-type":"A","alert":{"body":"b"}`)},
	{code: payload.CodeActivityInputs, t: "liveactivity", bad: activity(`"event":"start","input-push-token":1,"input-push-channel":"YQ=="`), path: "/aps/input-push-channel", good: activity(`"event":"start","input-push-channel":"YQ=="`)},
	{code: payload.CodeActivityMilliseconds, t: "liveactivity", bad: activity(`"event":"end","dismissal-date":1732200000000`), path: "/aps/dismissal-date", good: activity(`"event":"end","dismissal-date":1732200000`)},
	{code: payload.CodeActivityBroadcast, t: "liveactivity", linter: payload.Linter{Broadcast: true}, bad: activity(`"event":"start"`), path: "/aps/event", good: activity(`"event":"update"`)},
	{code: payload.CodeSafariURLArgs, t: "alert", linter: withTopic("web.com.example"), bad: `{"aps":{"alert":{"title":"t","body":"b"}}}`, path: "/aps/url-args", good: `{"aps":{"alert":{"title":"t","body":"b"},"url-args":[]}}`},
	{code: payload.CodeSafariText, t: "alert", bad: `{"aps":{"alert":{"title":"t"},"url-args":[]}}`, path: "/aps/alert/body", good: `{"aps":{"alert":{"title":"t","body":"b"},"url-args":[]}}`},

	// What looks like a mistake.
	{code: payload.CodeSizeNearLimit, t: "alert", bad: sized(3893), good: sized(3892)},
	{code: payload.CodeNullValue, t: "alert", bad: `{"aps":{"alert":"a","badge":null}}`, path: "/aps/badge", good: hi},
	{code: payload.CodeBooleanForNumber, t: "background", bad: `{"aps":{"content-available":true}}`, path: "/aps/content-available", good: silent},
	{code: payload.CodeFlagNotOne, t: "alert", bad: `{"aps":{"alert":"a","mutable-content":0}}`, path: "/aps/mutable-content", good: `{"aps":{"alert":"a","mutable-content":1}}`},
	{code: payload.CodeMisspelledKey, t: "alert", bad: `{"aps":{"alert":"a","mutable_content":1}}`, path: "/aps/mutable_content", good: `{"aps":{"alert":"a","mutable-content":1}}`},
	{code: payload.CodeMisspelledKey, t: "alert", bad: `{"aps":{"alert":"a","catgeory":"x"}}`, path: "/aps/catgeory", good: `{"aps":{"alert":"a","category":"x"}}`},
	{code: payload.CodeMisspelledKey, t: "alert", bad: `{"aps":{"alert":{"titleLocKey":"a"}}}`, path: "/aps/alert/titleLocKey", good: hi},
	{code: payload.CodeMisspelledKey, t: "alert", bad: `{"APS":{"alert":"a"}}`, path: "/APS", good: hi},
	{code: payload.CodeCustomKeyInAPS, t: "alert", bad: `{"aps":{"alert":"a","order~/1":1}}`, path: "/aps/order~0~11", good: `{"aps":{"alert":"a"},"order~/1":1}`},
	{code: payload.CodeUnknownAlertKey, t: "alert", bad: `{"aps":{"alert":{"body":"a","icon":"x"}}}`, path: "/aps/alert/icon", good: hi},
	{code: payload.CodeUnknownAlertKey, t: "liveactivity", bad: activity(`"event":"update","alert":{"title-loc-key":"x"}`), path: "/aps/alert/title-loc-key", good: activity(`"event":"update","alert":{"title":{"loc-key":"x"}}`)},
	{code: payload.CodeUnknownAlertKey, t: "liveactivity", bad: activity(`"event":"update","alert":{"title":{"text":"x"}}`), path: "/aps/alert/title/text", good: activity(`"event":"update","alert":{"title":{"loc-key":"x"}}`)},
	{code: payload.CodeUnknownSoundKey, t: "alert", linter: payload.Linter{CriticalAlerts: true}, bad: `{"aps":{"sound":{"critical":1,"name":"x","loop":1}}}`, path: "/aps/sound/loop", good: `{"aps":{"sound":{"critical":1,"name":"x"}}}`},
	{code: payload.CodeObsoleteKey, t: "alert", bad: `{"aps":{"alert":{"body":"a","summary-arg":"x"}}}`, path: "/aps/alert/summary-arg", good: hi},
	{code: payload.CodeKeyOfOtherType, t: "background", bad: `{"aps":{"content-available":1,"thread-id":"x"}}`, path: "/aps/thread-id", good: silent},
	{code: payload.CodeKeyOfOtherType, t: "liveactivity", bad: activity(`"event":"end","badge":1`), path: "/aps/badge", good: activity(`"event":"end"`)},
	{code: payload.CodeAPSNested, t: "alert", bad: `{"message":{"apns":{"payload":{"aps":{"alert":"a"}}}}}`, path: "/message/apns/payload/aps", good: `{"aps":{"alert":"a"},"data":{"aps":{}}}`},
	{code: payload.CodeKeyOutsideAPS, t: "alert", bad: `{"aps":{"alert":"a"},"mutable-content":1}`, path: "/mutable-content", good: `{"aps":{"alert":"a","badge":1},"badge":1,"category":"own"}`},
	{code: payload.CodeBadgeValue, t: "alert", bad: `{"aps":{"badge":-1}}`, path: "/aps/badge", good: `{"aps":{"badge":0}}`},
	{code: payload.CodeBadgeValue, t: "alert", bad: `{"aps":{"badge":1.5}}`, path: "/aps/badge", good: `{"aps":{"badge":1.0}}`},
	{code: payload.CodeInterruptionLevel, t: "alert", bad: `{"aps":{"alert":"a","interruption-level":"high"}}`, path: "/aps/interruption-level", good: `{"aps":{"alert":"a","interruption-level":"active"}}`},
	{code: payload.CodeMutableWithoutText, t: "alert", bad: `{"aps":{"badge":1,"mutable-content":1}}`, path: "/aps/mutable-content", good: `{"aps":{"alert":{"loc-key":"k"},"mutable-content":1}}`},
	{code: payload.CodeLocArgsWithoutKey, t: "alert", bad: `{"aps":{"alert":{"body":"a","title-loc-args":[]}}}`, path: "/aps/alert/title-loc-args", good: `{"aps":{"alert":{"title-loc-key":"k","title-loc-args":[]}}}`},
	{code: payload.CodeLocArgsWithoutKey, t: "liveactivity", bad: activity(`"event":"update","alert":{"title":{"loc-args":[]}}`), path: "/aps/alert/title/loc-args", good: activity(`"event":"update","alert":{"title":{"loc-key":"k","loc-args":[]}}`)},
	{code: payload.CodeRelevanceScore, t: "alert", bad: `{"aps":{"alert":"a","relevance-score":50}}`, path: "/aps/relevance-score", good: `{"aps":{"alert":"a","relevance-score":0.5}}`},
	{code: payload.CodeCriticalEntitlement, t: "alert", bad: `{"aps":{"sound":{"critical":1,"name":"x"}}}`, path: "/aps/sound", good: `{"aps":{"sound":{"critical":1,"name":"x"}}}`, goodSet: &payload.Linter{CriticalAlerts: true}},
	{code: payload.CodeCriticalEntitlement, t: "alert", bad: `{"aps":{"alert":"a","interruption-level":"critical"}}`, path: "/aps/interruption-level", good: hi},
	{code: payload.CodePassiveSound, t: "alert", bad: `{"aps":{"alert":"a","sound":"x","interruption-level":"passive"}}`, path: "/aps/sound", good: `{"aps":{"alert":"a","sound":"x","interruption-level":"active"}}`},
	{code: payload.CodeCriticalLevel, t: "alert", linter: payload.Linter{CriticalAlerts: true}, bad: `{"aps":{"sound":{"critical":1,"name":"x"},"interruption-level":"active"}}`, path: "/aps/interruption-level", good: `{"aps":{"sound":{"critical":1,"name":"x"},"interruption-level":"critical"}}`},
	{code: payload.CodeSoundObject, t: "alert", bad: `{"aps":{"sound":{"name":"x"}}}`, path: "/aps/sound/critical", good: `{"aps":{"sound":"x"}}`},
	{code: payload.CodeSoundObject, t: "alert", linter: payload.Linter{CriticalAlerts: true}, bad: `{"aps":{"sound":{"critical":1,"name":"x","volume":80}}}`, path: "/aps/sound/volume", good: `{"aps":{"sound":{"critical":1,"name":"x","volume":0.8}}}`},
	{code: payload.CodeSoundObject, t: "alert", linter: payload.Linter{CriticalAlerts: true}, bad: `{"aps":{"sound":{"critical":1}}}`, path: "/aps/sound/name", good: `{"aps":{"sound":{"critical":1,"name":"x"}}}`},
	{code: payload.CodeTextAndLocKey, t: "alert", bad: `{"aps":{"alert":{"title":"a","title-loc-key":"k"}}}`, path: "/aps/alert/title-loc-key", good: `{"aps":{"alert":{"body":"a","title-loc-key":"k"}}}`},
	{code: payload.CodeNothingForApp, t: "voip", bad: `{}`, good: `{"k":1}`},
	{code: payload.CodeNothingForApp, t: "pushtotalk", bad: `{"aps":{}}`, good: `{"aps":{"ptt-push-type":"service-update"}}`},
	{code: payload.CodePriorityUnusual, t: "liveactivity", linter: payload.Linter{Priority: 1}, bad: activity(`"event":"end"`), path: "apns-priority", good: activity(`"event":"end"`), goodSet: &payload.Linter{Priority: 5}},
	{code: payload.CodeTopicUnexpected, t: "alert", linter: withTopic("com.example.app.voip"), bad: hi, path: "apns-topic", good: hi, goodSet: new(withTopic("com.example.app"))},
	{code: payload.CodeExpirationRelative, t: "alert", linter: expires(300), bad: hi, path: "apns-expiration", good: hi, goodSet: new(expires(now.Unix() + 300))},
	{code: payload.CodeExpirationUnit, t: "alert", linter: expires(now.UnixMilli()), bad: hi, path: "apns-expiration", good: hi, goodSet: new(expires(now.Unix() + 1))},
	{code: payload.CodeExpirationPast, t: "alert", linter: expires(now.Unix()), bad: hi, path: "apns-expiration", good: hi, goodSet: new(expires(now.Unix() + 1))},
	{code: payload.CodeExpirationLong, t: "voip", linter: expires(now.Unix() + 61), bad: `{"k":1}`, path: "apns-expiration", good: `{"k":1}`, goodSet: new(expires(now.Unix() + 60))},
	{code: payload.CodeFileProviderDomain, t: "fileprovider", bad: `{"container-identifier":"` + payload.ContainerRoot + `"}`, path: "/domain", good: `{"container-identifier":"` + payload.ContainerRoot + `","domain":"d"}`},
	{code: payload.CodeContainerUnusual, t: "fileprovider", bad: `{"container-identifier":"own","domain":"d"}`, path: "/container-identifier", good: `{"container-identifier":"` + payload.ContainerWorkingSet + `","domain":"d"}`},
	{code: payload.CodePTTPushType, t: "pushtotalk", bad: `{"aps":{"ptt-push-type":"speech"}}`, path: "/aps/ptt-push-type", good: `{"aps":{"ptt-push-type":"service-update"}}`},
	{code: payload.CodeActivityEndState, t: "liveactivity", bad: `{"aps":{"timestamp":1732200000,"event":"end"}}`, path: "/aps/content-state", good: activity(`"event":"end"`)},
	{code: payload.CodeActivityTime, t: "liveactivity", bad: `{"aps":{"timestamp":753892800,"event":"end","content-state":{}}}`, path: "/aps/timestamp", good: activity(`"event":"end","dismissal-date":1`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: start(`"alert":{}`), path: "/aps/alert", good: start(`"alert":{"title":"x"}`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: start(`"alert":""`), path: "/aps/alert", good: start(`"alert":{"body":{"loc-key":"K"}}`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: start(`"alert":{"title":"","body":"","sound":"default"}`), path: "/aps/alert", good: start(`"alert":{"body":"x"}`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: start(`"alert":{"title":{"loc-key":""}}`), path: "/aps/alert", good: start(`"alert":{"title":"x"}`)},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: activity(`"event":"start","attributes-type":"","attributes":{},"alert":{"title":"x"}`), path: "/aps/attributes-type", good: start(`"alert":{"title":"x"}`)},
	{code: payload.CodeActivityAlert, t: "liveactivity", bad: start(`"alert":"x"`), path: "/aps/alert", good: start(`"alert":{"title":"x"}`)},
	{code: payload.CodeBlankText, t: "liveactivity", bad: start(`"alert":{"body":" "}`), path: "/aps/alert", good: start(`"alert":{"body":"x"}`)},
	{code: payload.CodeBlankText, t: "alert", bad: `{"aps":{"alert":"\u2800\ufe0f\u3164"}}`, path: "/aps/alert", good: hi},
	{code: payload.CodeActivityStart, t: "liveactivity", bad: activity(`"event":"start","attributes-type":" ","attributes":{},"alert":{"title":"x"}`), path: "/aps/attributes-type", good: start(`"alert":{"title":"x"}`)},
	{code: payload.CodeActivityDateEpoch, t: "liveactivity", bad: update(`{"at":1732203600000000}`), path: "/aps/content-state/at", good: update(`{"at":17322036000000000}`)},
	{code: payload.CodeBlankText, t: "alert", bad: `{"aps":{"alert":"  "}}`, path: "/aps/alert", good: hi},
	{code: payload.CodeBlankText, t: "alert", bad: `{"aps":{"alert":"\u200b\u00a0"}}`, path: "/aps/alert", good: `{"aps":{"alert":"\u200b."}}`},
	{code: payload.CodeBlankText, t: "alert", bad: `{"aps":{"alert":{"title":"","body":"\n"},"sound":"default"}}`, path: "/aps/alert", good: `{"aps":{"alert":{"title":" ","loc-key":"K"}}}`},
	{code: payload.CodeActivityDateEpoch, t: "liveactivity", bad: update(`{"at":1732203600}`), path: "/aps/content-state/at", good: update(`{"at":753896400}`)},
	{code: payload.CodeActivityDateEpoch, t: "liveactivity", bad: update(`{"gates":[{"at":1732203600000.5}]}`), path: "/aps/content-state/gates/0/at", good: update(`{"price":1832203600,"n":-1732203600}`)},
	{code: payload.CodeActivityDate, t: "liveactivity", bad: `{"aps":{"timestamp":1732200000,"event":"update","content-state":{"gates":[{"opens":"2026-11-22T08:00:00Z"}]}}}`,
		path: "/aps/content-state/gates/0/opens", good: `{"aps":{"timestamp":1732200000,"event":"update","content-state":{"gates":[{"opens":817027200,"on":"2026-11-22"}]}}}`},
	{code: payload.CodeActivityDate, t: "liveactivity", bad: activity(`"event":"start","attributes-type":"A","attributes":{"at":"2026-11-22T08:00:00.5+01:00"},"alert":{"title":"x"}`),
		path: "/aps/attributes/at", good: activity(`"event":"start","attributes-type":"A","attributes":{"at":1},"alert":{"title":"2026-11-22T08:00:00Z"}`)},
	{code: payload.CodeActivityStale, t: "liveactivity", bad: activity(`"event":"update","stale-date":1732200000`), path: "/aps/stale-date", good: activity(`"event":"update","stale-date":1732200001`)},
	{code: payload.CodeActivityDismissal, t: "liveactivity", bad: activity(`"event":"end","dismissal-date":1732214401`), path: "/aps/dismissal-date", good: activity(`"event":"end","dismissal-date":1732214400`)},
	{code: payload.CodeActivityEventKey, t: "liveactivity", bad: activity(`"event":"update","attributes":{}`), path: "/aps/attributes", good: activity(`"event":"update"`)},
	{code: payload.CodeActivitySound, t: "liveactivity", bad: activity(`"event":"update","alert":{"body":"b"},"sound":"x"`), path: "/aps/sound", good: activity(`"event":"update","alert":{"body":"b","sound":"x"}`)},
	{code: payload.CodeActivityInputFlag, t: "liveactivity", bad: activity(`"event":"start","input-push-channel":"my channel"`), path: "/aps/input-push-channel", good: activity(`"event":"start","input-push-channel":"YWI"`)},
	{code: payload.CodeActivityInputFlag, t: "liveactivity", bad: activity(`"event":"start","input-push-token":2`), path: "/aps/input-push-token", good: activity(`"event":"start","input-push-token":1`)},
	{code: payload.CodeWalletPayload, linter: withTopic("order.com.example"), bad: hi, good: `{}`},
	{code: payload.CodeSafariExtraKey, t: "alert", linter: withTopic("web.com.example"), bad: `{"aps":{"alert":{"title":"t","body":"b"},"url-args":[],"badge":1}}`, path: "/aps/badge", good: `{"aps":{"alert":{"title":"t","body":"b"},"url-args":[]}}`},
	{code: payload.CodeFindingsTruncated, t: "alert", bad: `{"aps":{"alert":"a"` + strings.Repeat(`,"k":null`, 200) + `}}`, good: hi},
}

// sized returns an alert payload of exactly n bytes.
func sized(n int) string {
	const wrapping = `{"aps":{"alert":{"body":""}}}`
	return `{"aps":{"alert":{"body":"` + strings.Repeat("x", n-len(wrapping)) + `"}}}`
}

func find(findings []payload.Finding, code payload.Code) (payload.Finding, bool) {
	i := slices.IndexFunc(findings, func(f payload.Finding) bool { return f.Code == code })
	if i < 0 {
		return payload.Finding{}, false
	}
	return findings[i], true
}

func TestLint(t *testing.T) {
	for _, tt := range lintCases {
		t.Run(string(tt.code), func(t *testing.T) {
			f, ok := find(tt.linter.Lint(tt.t, []byte(tt.bad)), tt.code)
			if !ok {
				t.Fatalf("not found in %.100s: %v", tt.bad, tt.linter.Lint(tt.t, []byte(tt.bad)))
			}
			if f.Path != tt.path {
				t.Errorf("path %q, want %q", f.Path, tt.path)
			}
			if f.Message == "" || f.Fix == "" || f.Source == "" || f.Severity == 0 {
				t.Errorf("incomplete: %+v", f)
			}
			if isHeader := strings.HasPrefix(f.Path, "apns-"); isHeader != (f.Offset == -1) || f.Offset > len(tt.bad) {
				t.Errorf("offset %d for %q", f.Offset, f.Path)
			}
			linter, pushType := tt.linter, tt.t
			if tt.goodSet != nil {
				linter = *tt.goodSet
			}
			if pushType == "Alert" {
				pushType = "alert"
			}
			if f, ok := find(linter.Lint(pushType, []byte(tt.good)), tt.code); ok {
				t.Errorf("false alarm in %.100s: %v", tt.good, f)
			}
		})
	}
}

// TestEveryCodeIsTested compares three lists: the constants in the source, the
// rule table and the cases above.
func TestEveryCodeIsTested(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "lint_codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[payload.Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Code" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if declared[payload.Code(value)] {
			t.Errorf("%s is declared twice", value)
		}
		declared[payload.Code(value)] = true
		return true
	})
	tested := map[payload.Code]bool{}
	for _, tt := range lintCases {
		tested[tt.code] = true
	}
	last := payload.Rejected
	ruled := map[payload.Code]bool{}
	for _, rule := range payload.Rules() {
		ruled[rule.Code] = true
		if rule.Severity < last {
			t.Errorf("%s is out of order", rule.Code)
		}
		last = rule.Severity
		if rule.Summary == "" || rule.Source == "" {
			t.Errorf("%s lacks its summary or source", rule.Code)
		}
	}
	if len(declared) < 60 {
		t.Fatalf("only %d codes found in the source", len(declared))
	}
	for code := range declared {
		if !ruled[code] {
			t.Errorf("%s is in no row of the rule table", code)
		}
		if !tested[code] {
			t.Errorf("%s has no test case", code)
		}
	}
	if len(ruled) != len(declared) {
		t.Errorf("%d rules for %d codes", len(ruled), len(declared))
	}
}

func TestLintReportsEverythingAtOnce(t *testing.T) {
	linter := payload.Linter{Topic: "com.example.app.voip", Priority: 10}
	got := linter.Lint("background", []byte(`{"aps":{"content-available":"1","alert":"x","sond":"y"},"badge":1,"badge":2}`))
	var codes []string
	for _, f := range got {
		codes = append(codes, f.Severity.String()+" "+string(f.Code))
	}
	want := []string{
		"dropped background-priority", "dropped background-content-available", "dropped numeric-string",
		"dropped background-alert", "dropped duplicate-key", "suspicious topic-unexpected-suffix", "suspicious misspelled-key",
	}
	if !slices.Equal(codes, want) {
		t.Errorf("\n got %q\nwant %q", codes, want)
	}
	if f, _ := find(got, payload.CodeMisspelledKey); f.Fix != "did you mean sound?" {
		t.Errorf("fix %q", f.Fix)
	}
}

// TestLintSuggestsWithCare guards against advice that would confuse.
func TestLintSuggestsWithCare(t *testing.T) {
	for key, want := range map[string]string{
		"contentAvailable": "content-available", "content_available": "content-available", "content-avalable": "content-available",
		"Badge": "badge", "bagde": "badge", "badges": "badge", "sounds": "sound", "threadId": "thread-id", "urlArgs": "url-args",
		"interruptionLevel": "interruption-level", "order": "", "id": "", "x": "", "": "", strings.Repeat("badge", 20): "",
	} {
		got := payload.Lint("alert", []byte(`{"aps":{"alert":"a",`+strconv.Quote(key)+`:1}}`))
		f, _ := find(got, payload.CodeMisspelledKey)
		if got := strings.TrimSuffix(strings.TrimPrefix(f.Fix, "did you mean "), "?"); got != want {
			t.Errorf("%q: suggested %q, want %q", key, got, want)
		}
	}
}

// Whatever language made it, a time as text is told; a date or a sentence is not.
func TestTimesAsText(t *testing.T) {
	for text, want := range map[string]bool{
		"2026-11-22T08:00:00Z": true, "2026-11-22T08:00:00": true, "2026-11-22T08:00:00.123456": true, "2026-11-22 08:00:00 UTC": true,
		"2026-11-22T08:00:00+0100": true, "2026-11-22T08:00Z": true, "20261122T080000Z": true, "Sun, 22 Nov 2026 08:00:00 GMT": true,
		"2026-11-22 08:00:00": true, "2026-11-22 08:00:00.123456+00:00": true, "2026-11-22 08:00:00 +0100": true, "Sun Nov 22 08:00:00 2026": true,
		"2026-11-22 08:00:00+00": true, "2026-11-22T08:00:00+01": true, "Sun Nov 22 2026 08:00:00 GMT+0100 (Central European Standard Time)": true,
		"2026-11-22 08:00:00.123 +0000 UTC": true, "2026-11-22T08:00:00+01:00[Europe/Berlin]": true, "2026-11-22T08:00+0100": true,
		"2026-11-22t08:00:00z": true, "2026-11-22 08:00": true, "11/22/2026 08:00:00": true, "Nov 22, 2026, 8:00:00 AM": true, "1732203600": true, "1732203600123": true,
		"Sunday, 22-Nov-26 08:00:00 GMT": true, "Sunday at 8, gate B42": false, "1732": false, "2026-11-22 to 2026-11-23": false,
		"2026-11-22": false, "08:00": false, "Gate B42, 08:00:00": false, "": false, "20261122080000": false, "A1:B2:C3:D4:E5:F6": false,
	} {
		found := payload.Lint("liveactivity", []byte(update(`{"at":`+strconv.Quote(text)+`}`)))
		if got := slices.ContainsFunc(found, func(f payload.Finding) bool { return f.Code == payload.CodeActivityDate }); got != want {
			t.Errorf("%q is taken for a time: %v", text, got)
		}
	}
}

// What cannot be seen or heard is not there.
func TestNothingToSeeOrHear(t *testing.T) {
	for body, nothing := range map[string]bool{
		`{"aps":{"sound":""}}`: true, `{"aps":{"alert":"","sound":""}}`: true, `{"aps":{"alert":{"title":"","body":""},"sound":""}}`: true,
		`{"aps":{"alert":{"title":{"loc-key":""}}}}`: true,
		`{"aps":{"sound":"default"}}`:                false, `{"aps":{"sound":{"critical":1,"name":"x"}}}`: false, `{"aps":{"badge":0}}`: false, `{"aps":{"alert":"."}}`: false,
		`{"aps":{"alert":{"loc-key":"K"}}}`: false,
	} {
		found := payload.Linter{CriticalAlerts: true}.Lint("alert", []byte(body))
		got := slices.ContainsFunc(found, func(f payload.Finding) bool { return f.Code == payload.CodeNothingToPresent })
		if got != nothing {
			t.Errorf("%s: %v", body, found)
		}
	}
}
