package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
	"aviso.example/internal/proto"
)

// What POST /v1/messages and POST /v1/batches take is documented by hand, since
// they read their bodies by themselves. A test posts the examples, holds them
// against the schema, and compares the schema's keys with those that are read.

func text(description string, enum ...any) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: description, Enum: enum}
}

func either(description string, schemas ...*huma.Schema) *huma.Schema {
	return &huma.Schema{Description: description, OneOf: schemas}
}

func least(n float64) *huma.Schema { return &huma.Schema{Type: huma.TypeInteger, Minimum: &n} }

func flagSchema(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeBoolean, Description: description}
}

func object(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Description: description, AdditionalProperties: true}
}

// momentSchema is of what readMoment reads.
func momentSchema(description string) *huma.Schema {
	return either(description, &huma.Schema{Type: huma.TypeString, Format: "date-time"}, least(1))
}

// deviceTokenSchema is of a device token.
func deviceTokenSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "A device token in hexadecimal digits.", Pattern: "^([0-9a-fA-F]{2})+$"}
}

// deviceSchema is of an element of "to".
func deviceSchema() *huma.Schema {
	return either("", deviceTokenSchema(), &huma.Schema{
		Type: huma.TypeObject, Required: []string{"device_token"}, AdditionalProperties: false,
		Properties: map[string]*huma.Schema{
			"device_token":  deviceTokenSchema(),
			"registered_at": momentSchema("When the app last registered the device token."),
		},
	})
}

// notificationSchema has the keys of a notification, which a message, a line of a
// batch and its defaults share.
func notificationSchema() map[string]*huma.Schema {
	var types []any
	for _, rule := range proto.TypeRules {
		types = append(types, string(rule.Type))
	}
	return map[string]*huma.Schema{
		"payload":            object("The whole payload, sent byte for byte. It takes the place of the keys that make one: title to data."),
		"title":              text("Shown in bold."),
		"subtitle":           text("Shown below the title."),
		"body":               text("What is said."),
		"badge":              either("The number on the app's icon; clear and 0 take it away.", least(0), text("", "clear")),
		"sound":              text("A sound of the app, or default."),
		"category":           text("Which buttons are shown; the app declares categories."),
		"thread_id":          text("Groups notifications on the device."),
		"interruption_level": text("How much it may disturb.", "passive", "active", "time-sensitive", "critical"),
		"mutable_content":    flagSchema("Lets the app's extension change it before it is shown."),
		"content_available":  flagSchema("Wakes the app as well."),
		"data":               object("The app's own keys, beside Apple's aps."),
		"topic":              text("A bundle identifier, or a whole topic with the suffix of its push type. Default: the app's bundle identifier."),
		"bundle_id":          text("A bundle identifier, to which the suffix of the push type is added."),
		"push_type":          text("Default: alert, or what the topic says.", types...),
		"priority":           &huma.Schema{Type: huma.TypeInteger, Enum: []any{10.0, 5.0, 1.0}, Description: "10: at once; 5: mind the device's power; 1: never wake the device. Default: that of the push type."},
		"expiration":         either("Until when APNs keeps it for a device that is off, and Aviso tries: 0 (one attempt), a duration like 1h or 7d from when it is sent, a time, or UNIX seconds. Default: APNs decides, and Aviso tries for a day.", text(""), least(0)),
		"collapse_id":        text("A later notification with the same one takes its place; 64 bytes at most."),
		"on_unknown":         text("What to do if APNs gave no answer, so that nobody knows whether it has the notification: resend (the default), which can have it arrive twice, or drop, which is better for calls and the like.", "resend", "drop"),
		"send_at":            momentSchema("When to send it; at most 60 days ahead."),
	}
}

// placeSchema has the keys that say where a message goes.
func placeSchema() map[string]*huma.Schema {
	return map[string]*huma.Schema{
		"app":         {Type: huma.TypeString, MinLength: new(1), Description: "Whom to send for. It can be left out if the server has one app."},
		"environment": text("Default: the app's.", "production", "sandbox"),
		"lane":        text("Each has its own queue and connections: urgent for calls and breaking news, normal for what one person waits for, bulk for campaigns. Default: urgent for push types voip and pushtotalk, else bulk beyond 1,000 device tokens, else normal; batches are bulk.", "urgent", "normal", "bulk"),
	}
}

func objectOf(description string, required []string, parts ...map[string]*huma.Schema) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Description: description, Required: required, AdditionalProperties: false, Properties: map[string]*huma.Schema{}}
	for _, part := range parts {
		for name, property := range part {
			s.Properties[name] = property
		}
	}
	return s
}

// messageSchema is of the body of POST /v1/messages.
func messageSchema() *huma.Schema {
	most := engine.MaxTargets
	return objectOf("A notification, and the device tokens it goes to.", []string{"to"}, notificationSchema(), placeSchema(), map[string]*huma.Schema{
		"to": either("A device token, or an array of up to 100,000.", append(deviceSchema().OneOf,
			&huma.Schema{Type: huma.TypeArray, Items: deviceSchema(), MinItems: new(1), MaxItems: &most})...),
		"registered_at": momentSchema("When the app last registered the device token, with a single one: if APNs called it dead before, it is sent to all the same."),
	})
}

// lineSchema is of a line of a batch, defaultsSchema of what its first line may
// say for all.
func lineSchema() *huma.Schema {
	return objectOf("A notification for one device. What it does not say is taken from the defaults.", []string{"to"}, notificationSchema(), map[string]*huma.Schema{
		"to":            deviceTokenSchema(),
		"registered_at": momentSchema("When the app last registered the device token."),
	})
}

func defaultsSchema() *huma.Schema {
	return objectOf("The first line of a batch.", []string{"defaults"}, map[string]*huma.Schema{
		"defaults": objectOf("What lines do not say.", nil, notificationSchema(), placeSchema()),
	})
}

// exampleMessages are bodies of POST /v1/messages.
var exampleMessages = map[string]*huma.Example{
	"alert": {Summary: "An alert for one device", Value: map[string]any{
		"to": exampleDevice, "title": "Parcel on its way", "body": "It arrives before noon.", "thread_id": "parcels", "expiration": "12h",
	}},
	"many": {Summary: "One payload for several devices", Value: map[string]any{
		"app": "shop", "environment": "sandbox", "lane": "normal",
		"to":      []any{exampleDevice, map[string]any{"device_token": "b1" + exampleDevice[2:], "registered_at": "2026-01-31T12:00:00Z"}},
		"payload": map[string]any{"aps": map[string]any{"alert": "The sale has begun"}, "sale": 7},
	}},
	"call": {Summary: "A call: never twice, and not late", Value: map[string]any{
		"to": exampleDevice, "registered_at": 1_767_225_600, "push_type": "voip", "data": map[string]any{"caller": "Ada"}, "expiration": 0, "on_unknown": "drop",
	}},
	"silent": {Summary: "Something to fetch, with nothing to see", Value: map[string]any{
		"to": exampleDevice, "push_type": "background", "data": map[string]any{"inbox": 3}, "collapse_id": "inbox",
	}},
}

const (
	exampleDevice = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"
	exampleBatch  = `{"defaults":{"app":"shop","title":"The sale has begun","expiration":"7d"}}
{"to":"a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"}
{"to":"b1b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f","title":"Only for you","registered_at":"2026-01-31T12:00:00Z"}
`
)

func (a *API) accepted(receipt any) map[string]*huma.Response {
	return map[string]*huma.Response{"202": {
		Description: "It is on disk.", Content: a.content(receipt),
		Headers: map[string]*huma.Param{"Location": {Description: "Where to ask how it fares.", Schema: text("")}},
	}}
}

func (a *API) postMessageOperation() huma.Operation {
	schemas := a.huma.OpenAPI().Components.Schemas
	schemas.Map()["NewMessage"] = messageSchema()
	return huma.Operation{
		OperationID: "post-message", Method: http.MethodPost, Path: "/v1/messages", Tags: []string{"Messages"},
		Summary: "Send one payload to one or many devices",
		Description: "Answers when the message is on disk: after that every device token that was not refused gets a verdict, whatever happens to the process. Device tokens that cannot be any are refused one by one, and the others are sent to; anything else that is wrong refuses the whole message.\n\n" +
			"The id of a notification cannot be chosen: the delivery's travels as apns-id. 429 and 503 with Retry-After say that nothing was accepted now. 503 of the type not-confirmed says that nobody knows: with a collapse id, sending again is harmless.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/NewMessage"}, Examples: exampleMessages},
		}},
		Responses: a.accepted(MessageReceipt{}),
	}
}

func (a *API) postBatchOperation() huma.Operation {
	schemas := a.huma.OpenAPI().Components.Schemas
	schemas.Map()["BatchLine"], schemas.Map()["BatchDefaults"] = lineSchema(), defaultsSchema()
	query := func(name, description string, schema *huma.Schema) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: description, Schema: schema}
	}
	place := placeSchema()
	longest := maxLabel
	slowest, fastest := 0.0, maxRate
	return huma.Operation{
		OperationID: "post-batch", Method: http.MethodPost, Path: "/v1/batches", Tags: []string{"Batches"},
		Summary: "Send any number of notifications",
		Description: "The body has one JSON object on each line (NDJSON): first, if wanted, a BatchDefaults, then a BatchLine for each notification. A line has 65,536 bytes at most, the body any number. Lines are accepted while they are read, and sent while others are still on their way.\n\n" +
			"A wrong line is counted and reported, and stops nothing. If the end of the body is missing, the answer is a problem of the type batch-cut-short whose batch says what was accepted until then; that is sent.",
		Parameters: []*huma.Param{
			query("app", place["app"].Description+" Query or defaults name it.", text("")),
			query("environment", "Default: the app's.", text("", "production", "sandbox")),
			query("lane", "Default: bulk.", text("", "urgent", "normal", "bulk")),
			query("label", "For people to find the batch by; it must not name a person.", &huma.Schema{Type: huma.TypeString, MaxLength: &longest}),
			query("rate", "The notifications to send a second at most; 0 means as fast as APNs takes them.", &huma.Schema{Type: huma.TypeNumber, Minimum: &slowest, Maximum: &fastest}),
			query("paused", "Send nothing until it is resumed.", flagSchema("")),
			{Name: "Content-Encoding", In: "header", Description: "The body can be compressed.", Schema: text("", "gzip", "identity")},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/x-ndjson": {
				Schema:  either("Of each line.", &huma.Schema{Ref: "#/components/schemas/BatchLine"}, &huma.Schema{Ref: "#/components/schemas/BatchDefaults"}),
				Example: exampleBatch,
			},
		}},
		Responses: a.accepted(BatchReceipt{}),
		Metadata:  map[string]any{queryWords: a.batchQueryProblems},
	}
}
