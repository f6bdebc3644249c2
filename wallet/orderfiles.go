package wallet

import (
	"path"
	"slices"
	"strings"
)

// maxOrder is the size of all files of an order together ("Building a
// distributable order package", which says 5 MB; this is the smaller reading).
const maxOrder = 5_000_000

// reference is a file that an order names.
type reference struct {
	at    *place
	key   string
	name  string
	image bool // named without scale and extension
}

// references returns all files that an order names.
func (o *Order) references() (list []reference) {
	add := func(at *place, key, name string, image bool) {
		if name != "" {
			list = append(list, reference{at, key, name, image})
		}
	}
	items := func(at *place, items []OrderLineItem) {
		for i := range items {
			add(at.item("lineItems", i), "image", items[i].Image, true)
		}
	}
	if o.Merchant != nil {
		add((*place)(nil).at("merchant"), "logo", o.Merchant.Logo, true)
	}
	if p := o.OrderProvider; p != nil {
		at := (*place)(nil).at("orderProvider")
		add(at, "trackingLogoNameDarkColorScheme", p.TrackingLogoNameDarkColorScheme, true)
		add(at, "trackingLogoNameLightColorScheme", p.TrackingLogoNameLightColorScheme, true)
	}
	items(nil, o.LineItems)
	for i := range o.Fulfillments {
		items((*place)(nil).item("fulfillments", i), o.Fulfillments[i].LineItems)
	}
	for i := range o.Returns {
		at := (*place)(nil).item("returns", i)
		items(at, o.Returns[i].LineItems)
		add(at, "returnLabel", o.Returns[i].ReturnLabel, false)
	}
	if o.Payment != nil {
		for i := range o.Payment.Transactions {
			add((*place)(nil).at("payment").item("transactions", i), "receipt", o.Payment.Transactions[i].Receipt, false)
		}
	}
	return list
}

// orderNames are what an order can refer to.
type orderNames struct {
	files map[string]bool // by whole name, without the folder of a language
	stems map[string]bool
}

func (f Files) orderNames() orderNames {
	n := orderNames{map[string]bool{}, map[string]bool{}}
	for name := range f {
		if _, rest, ok := localized(name); ok {
			name = rest
		}
		n.files[name] = true
		if isImage(name) {
			n.stems[stem(name)] = true
		}
	}
	return n
}

// orderReferences checks that the files that an order names are there.
func (c *checker) orderReferences(o *Order, there orderNames) {
	for _, r := range o.references() {
		switch {
		case !r.image && !there.files[r.name]:
			c.error(r.at, r.key, "add the file to the package, or correct its name", "names a file that is not in the package")
		case r.image && there.stems[r.name]:
		case r.image && (there.files[r.name] || there.stems[stem(r.name)]):
			if path.Base(r.name) != path.Base(stem(r.name))+path.Ext(r.name) {
				c.error(r.at, r.key, "write "+path.Base(stem(r.name))+", without the scale", "names an image with its scale")
			}
			// With its extension: every public maker of orders writes it so, and they are
			// shown. Apple's page says "the name for an image".
		case r.image:
			c.error(r.at, r.key, "add the image to the package, or correct its name", "names an image that is not in the package")
		}
		if ext := strings.ToLower(path.Ext(r.name)); r.key == "returnLabel" && !slices.Contains([]string{".pdf", ".jpg", ".jpeg", ".png"}, ext) {
			c.warn(r.at, r.key, "use one of these", "is no PDF, JPEG or PNG by its name")
		}
	}
}

// orderFiles checks an order with its files.
func (c *checker) orderFiles(f Files) {
	c.order = true
	order := new(Order)
	if d, err := decode(f[fileOrder], order); err != nil {
		bad := notJSON(err)
		bad.File = fileOrder
		c.problems = append(c.problems, bad)
	} else {
		c.problems = append(c.problems, d.twice...)
		c.orderRules(order)
		c.orderReferences(order, f.orderNames())
	}
	c.orderShared(f)
}

// orderShared checks everything but order.json.
func (c *checker) orderShared(f Files) {
	total := 0
	for _, name := range f.names() {
		total += len(f[name])
		_, rest, local := localized(name)
		if strings.HasSuffix(name, ".strings") && (!local || rest != "order.strings") {
			c.inFile(name, "name it order.strings, in a folder such as fr.lproj", "is not read by Wallet")
		}
		if isImage(name) && strings.HasSuffix(strings.ToLower(name), ".png") {
			c.file = name
			c.pngSize(f[name])
			c.file = ""
		}
	}
	if total >= maxOrder {
		c.tooLarge()
	}
	c.translations(f, "order.strings")
	c.localImages(f)
}

func (c *checker) tooLarge() {
	c.problems = append(c.problems, Problem{Error, "", "", "the files have 5 MB or more together, and an order has to be smaller", "use smaller images"})
}

// stem is the name by which an order refers to an image: without scale and
// extension, and without the folder of a language.
func stem(name string) string {
	if _, rest, ok := localized(name); ok {
		name = rest
	}
	folder, base, _, _ := splitImage(name)
	return path.Join(folder, base)
}
