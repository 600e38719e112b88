package verify

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"sync"

	"github.com/beevik/etree"
)

var (
	rsaSP         = load("rsa-sp")
	rsaSPPrevious = load("rsa-sp-previous")
	rsaSPOther    = load("rsa-sp-other")
)

func decryptionKeys(list ...identity) []*rsa.PrivateKey {
	var keys []*rsa.PrivateKey
	for _, i := range list {
		keys = append(keys, i.signer.(*rsa.PrivateKey))
	}
	return keys
}

// sealing is how a test encrypts; zero fields mean the usual way. It uses
// nothing of the package.
type sealing struct {
	to        identity // default rsaSP
	method    string   // content algorithm; default AES-256-GCM
	transport string   // key transport; default rsa-oaep-mgf1p
	digest    string   // DigestMethod of the transport; "-" leaves it out
	mgf       string   // MGF of the transport
	label     string   // OAEPparams
	recipient string   // attribute, with its leading space
	place     string   // of the EncryptedKey: "" inside, "beside", "retrieved"
	dataType  string   // Type attribute; "-" leaves it out
	pad       func(block []byte, n int)
	content   func(b []byte) []byte // change the ciphertext
	key       func(b []byte) []byte // change the encrypted key
	plainKey  func(b []byte) []byte // change the content key that is sent
	rsa15     bool
	element   string // default EncryptedAssertion
	prefix    string // of xenc; "-" means none
	keyInfo   string // of the EncryptedKey
	finish    func(xml string) string
	suffix    string // of both Ids
	fixed     bool   // the same key and nonce each time, for fuzzing
}

// fixedKey is a content key of zeros and its encrypted form.
var fixedKey = sync.OnceValue(func() []byte {
	return must(rsa.EncryptOAEP(crypto.SHA1.New(), rand.Reader, rsaSP().signer.Public().(*rsa.PublicKey), make([]byte, 32), nil))
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var hashOf = map[string]crypto.Hash{
	"":                                       crypto.SHA1,
	"-":                                      crypto.SHA1,
	"http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
	"http://www.w3.org/2009/xmlenc11#mgf1sha1":      crypto.SHA1,
	"http://www.w3.org/2009/xmlenc11#mgf1sha256":    crypto.SHA256,
	"http://www.w3.org/2009/xmlenc11#mgf1sha384":    crypto.SHA384,
	"http://www.w3.org/2009/xmlenc11#mgf1sha512":    crypto.SHA512,
}

const (
	gcm256 = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	cbc256 = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	cbc128 = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
)

// encryptContent encrypts with a new key and returns both.
func (s sealing) encryptContent(plain []byte) (content, key []byte) {
	size := 32
	switch {
	case strings.Contains(s.method, "aes128"):
		size = 16
	case strings.Contains(s.method, "aes192"):
		size = 24
	}
	key = make([]byte, size)
	fill := rand.Read
	if s.fixed {
		fill = func(b []byte) (int, error) { return len(b), nil }
	}
	must(fill(key))
	block := must(aes.NewCipher(key))
	if strings.HasSuffix(s.method, "gcm") {
		nonce := make([]byte, 12)
		must(fill(nonce))
		return append(nonce, must(cipher.NewGCM(block)).Seal(nil, nonce, plain, nil)...), key
	}
	n := 16 - len(plain)%16
	padded := append(append([]byte(nil), plain...), make([]byte, n)...)
	padded[len(padded)-1] = byte(n)
	if s.pad != nil {
		s.pad(padded, n)
	}
	out := make([]byte, 16+len(padded))
	must(fill(out[:16]))
	cipher.NewCBCEncrypter(block, out[:16]).CryptBlocks(out[16:], padded)
	return out, key
}

// encryptPKCS1v15 is the attack's: the library's is deprecated for being one.
func encryptPKCS1v15(public *rsa.PublicKey, key []byte) []byte {
	block := make([]byte, public.Size())
	for i := range block {
		block[i] = 0xff
	}
	block[0], block[1] = 0, 2
	block[len(block)-len(key)-1] = 0
	copy(block[len(block)-len(key):], key)
	m := new(big.Int).SetBytes(block)
	return m.Exp(m, big.NewInt(int64(public.E)), public.N).FillBytes(make([]byte, public.Size()))
}

// seal returns the encrypted element as text, with its own declarations.
func (s sealing) seal(plain []byte) string {
	s.method = orDefault(s.method, gcm256)
	s.transport = orDefault(s.transport, nsXEnc+"rsa-oaep-mgf1p")
	s.element = orDefault(s.element, "EncryptedAssertion")
	if s.to.signer == nil {
		s.to = rsaSP()
	}
	if s.keyInfo == spCertificate {
		s.keyInfo = strings.Replace(s.to.keyInfo(), "<ds:KeyInfo>", `<ds:KeyInfo xmlns:ds="`+nsDsig+`">`, 1)
	}
	content, key := s.encryptContent(plain)
	if s.content != nil {
		content = s.content(content)
	}
	if s.plainKey != nil {
		key = s.plainKey(key)
	}
	public := s.to.signer.Public().(*rsa.PublicKey)
	label := []byte(nil)
	if s.label != "" {
		label = must(base64.StdEncoding.DecodeString(s.label))
	}
	var wrapped []byte
	if s.fixed {
		wrapped = fixedKey()
	} else if s.rsa15 {
		wrapped = encryptPKCS1v15(public, key)
	} else {
		wrapped = must(rsa.EncryptOAEPWithOptions(rand.Reader, public, key, &rsa.OAEPOptions{Hash: hashOf[s.digest], MGFHash: hashOf[s.mgf], Label: label}))
	}
	if s.key != nil {
		wrapped = s.key(wrapped)
	}
	transport := ""
	if s.digest != "-" {
		transport += `<ds:DigestMethod xmlns:ds="` + nsDsig + `" Algorithm="` + orDefault(s.digest, nsDsig+"sha1") + `"/>`
	}
	if s.mgf != "" {
		transport += `<xenc11:MGF xmlns:xenc11="` + nsXEnc11 + `" Algorithm="` + s.mgf + `"/>`
	}
	if s.label != "" {
		transport = `<xenc:OAEPparams>` + s.label + `</xenc:OAEPparams>` + transport
	}
	b64 := base64.StdEncoding.EncodeToString
	references := ""
	if s.place != "" {
		references = `<xenc:ReferenceList><xenc:DataReference URI="#_data"/></xenc:ReferenceList>`
	}
	encryptedKey := `<xenc:EncryptedKey xmlns:xenc="` + nsXEnc + `" Id="_key"` + s.recipient + `><xenc:EncryptionMethod Algorithm="` + s.transport + `">` + transport +
		`</xenc:EncryptionMethod>` + s.keyInfo + `<xenc:CipherData><xenc:CipherValue>` + b64(wrapped) + `</xenc:CipherValue></xenc:CipherData>` + references + `</xenc:EncryptedKey>`
	inner, outer := "", ""
	switch s.place {
	case "":
		inner = `<ds:KeyInfo xmlns:ds="` + nsDsig + `">` + encryptedKey + `</ds:KeyInfo>`
	case "beside":
		outer = encryptedKey
	case "retrieved":
		inner = `<ds:KeyInfo xmlns:ds="` + nsDsig + `"><ds:RetrievalMethod Type="` + typeEncryptedKey + `" URI="#_key"/></ds:KeyInfo>`
		outer = encryptedKey
	}
	dataType := ` Type="` + orDefault(s.dataType, typeElement) + `"`
	if s.dataType == "-" {
		dataType = ""
	}
	xml := `<saml:` + s.element + ` xmlns:saml="` + nsAssertion + `"><xenc:EncryptedData xmlns:xenc="` + nsXEnc + `" Id="_data"` + dataType + `><xenc:EncryptionMethod Algorithm="` + s.method + `"/>` +
		inner + `<xenc:CipherData><xenc:CipherValue>` + b64(content) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>` + outer + `</saml:` + s.element + `>`
	switch s.prefix {
	case "":
	case "-":
		xml = strings.NewReplacer("xmlns:xenc=", "xmlns=", "<xenc:", "<", "</xenc:", "</").Replace(xml)
	default:
		xml = strings.NewReplacer("xmlns:xenc=", "xmlns:"+s.prefix+"=", "<xenc:", "<"+s.prefix+":", "</xenc:", "</"+s.prefix+":").Replace(xml)
	}
	if s.finish != nil {
		xml = s.finish(xml)
	}
	if s.suffix != "" {
		xml = strings.NewReplacer(`_data"`, `_data`+s.suffix+`"`, `_key"`, `_key`+s.suffix+`"`).Replace(xml)
	}
	return xml
}

// hide puts the encrypted form of an assertion into its place. The plaintext
// declares what the assertion uses, as software that serialises an element does.
func (s sealing) hide(a *etree.Element) {
	parent, i := a.Parent(), a.Index()
	plain := standalone(a)
	parent.RemoveChild(a)
	parent.InsertChildAt(i, fragment(s.seal(plain)))
}

// standalone serialises an element with the declarations of its ancestors that
// it does not make itself.
func standalone(a *etree.Element) []byte {
	c := a.Copy()
	for up := a.Parent(); up != nil; up = up.Parent() {
		for _, at := range up.Attr {
			name := strings.TrimPrefix(at.FullKey(), "xmlns:")
			if (at.Space == "xmlns" || at.FullKey() == "xmlns") && c.SelectAttr(at.FullKey()) == nil && (strings.Contains(string(serialize(a.Copy())), name+":") || name == "xmlns") {
				c.CreateAttr(at.FullKey(), at.Value)
			}
		}
	}
	return serialize(c)
}

// sealText encrypts the assertion of a finished document, byte for byte. It
// reports false where there is not exactly one.
func (s sealing) sealText(doc string) (string, bool) {
	const open, end = "<saml:Assertion", "</saml:Assertion>"
	from, to := strings.Index(doc, open), strings.LastIndex(doc, end)
	if from < 0 || to < from || strings.Count(doc, open) != 1 || !strings.Contains(doc, nsAssertion) {
		return "", false
	}
	to += len(end)
	return doc[:from] + s.seal([]byte(doc[from:to])) + doc[to:], true
}

func sealingOf(enc string) sealing {
	if enc == "cbc" {
		return sealing{method: cbc256}
	}
	return sealing{}
}
