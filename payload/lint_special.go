package payload

// special applies the rules of single push types; aps is -1 when there is no
// aps object.
func (r *lintRun) special(aps int) {
	switch r.t {
	case PushTypeVoIP, PushTypePushToTalk:
		r.callOrVoice(aps)
	case PushTypeFileProvider:
		r.fileProvider()
	case PushTypeWidgets, PushTypeControls:
		if aps >= 0 {
			r.contentChanged(aps)
		}
	case PushTypeAlert, "":
		if aps >= 0 && (isWebsiteTopic(r.Topic) || r.doc.member(aps, "url-args") >= 0) {
			r.website(aps)
		}
	}
}

// mdm holds an MDM push to its one form.
func (r *lintRun) mdm() {
	if at := r.doc.member(0, "mdm"); at < 0 || r.doc.nodes[at].kind != kindString || len(r.doc.raw(at)) == 2 {
		r.missing(CodeMDMMagic, 0, "mdm", "missing, empty or not a string; the device ignores the push",
			"send the PushMagic from the device's TokenUpdate message")
	}
	for i, n := range r.doc.children(0) {
		if string(n.key) != "mdm" {
			r.at(CodeMDMExtraKey, i, `an MDM push is exactly {"mdm":"…"}`, "remove it")
		}
	}
}

// callOrVoice applies the rules of voip and pushtotalk.
func (r *lintRun) callOrVoice(aps int) {
	if aps >= 0 {
		if at := r.doc.member(aps, "ptt-push-type"); at >= 0 && r.t == PushTypePushToTalk &&
			r.doc.nodes[at].kind == kindString && string(r.doc.text(at)) != "service-update" {
			r.at(CodePTTPushType, at, "not a value that is known", "send service-update, or leave the key out")
		}
		if r.doc.nodes[aps].first != 0 {
			return
		}
	}
	for _, n := range r.doc.children(0) {
		if string(n.key) != "aps" {
			return
		}
	}
	r.at(CodeNothingForApp, 0, "no keys for the app, which must report a call or a speaker at once", "say who calls or speaks")
}

func (r *lintRun) fileProvider() {
	container := r.doc.member(0, "container-identifier")
	if container < 0 || r.doc.nodes[container].kind != kindString {
		r.missing(CodeContainerIdentifier, 0, "container-identifier", "missing or not a string; the extension is not told what changed",
			"send "+ContainerWorkingSet)
	} else if id := string(r.doc.text(container)); id != ContainerWorkingSet && id != ContainerRoot {
		r.at(CodeContainerUnusual, container, "replicated extensions listen to the working set only", "send "+ContainerWorkingSet)
	}
	if domain := r.doc.member(0, "domain"); domain < 0 || r.doc.nodes[domain].kind != kindString {
		r.missing(CodeFileProviderDomain, 0, "domain", "missing or not a string", "send the identifier of the domain")
	}
}

func (r *lintRun) contentChanged(aps int) {
	at := r.doc.member(aps, "content-changed")
	switch {
	case at < 0, r.doc.nodes[at].kind == kindNull:
		r.missing(CodeContentChanged, aps, "content-changed", "missing; nothing is reloaded", `send "content-changed":true`)
	case r.doc.nodes[at].kind == kindBool && r.doc.raw(at)[0] == 'f':
		r.at(CodeContentChanged, at, "false; nothing is reloaded", "send true")
	}
}

// website applies the rules of legacy Safari pushes.
func (r *lintRun) website(aps int) {
	args := r.doc.member(aps, "url-args")
	if args < 0 {
		r.missing(CodeSafariURLArgs, aps, "url-args", "Safari drops a push without it", "send an array with one string for each %@, or an empty one")
	}
	r.strings(args)
	alert := r.doc.member(aps, "alert")
	for _, key := range []string{"title", "body"} {
		if alert < 0 || !r.present(r.doc.member(alert, key)) {
			r.missing(CodeSafariText, aps, "alert/"+key, "Safari needs a title and a body", "add "+key)
		}
	}
	extra := func(object int, allowed ...string) {
		for i, n := range r.doc.children(object) {
			known := false
			for _, key := range allowed {
				known = known || string(n.key) == key
			}
			if !known {
				r.at(CodeSafariExtraKey, i, "not a key that Safari takes", "remove it")
			}
		}
	}
	extra(0, "aps")
	extra(aps, "alert", "url-args")
}
