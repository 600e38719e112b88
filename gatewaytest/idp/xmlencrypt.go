package idp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // what rsa-oaep-mgf1p means by default (XML Encryption 1.1 §5.5.2)
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// encryptAssertion replaces the assertion, where it stands, by an
// EncryptedAssertion for cert. algorithm is "aes128-gcm" when empty.
func encryptAssertion(assertion *etree.Element, cert *x509.Certificate, algorithm string) error {
	if algorithm == "" {
		algorithm = "aes128-gcm"
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("idp: assertions are encrypted to RSA keys only")
	}
	bits, mode, _ := strings.Cut(strings.TrimPrefix(algorithm, "aes"), "-")
	size, err := strconv.Atoi(bits)
	if err != nil || (mode != "gcm" && mode != "cbc") {
		return fmt.Errorf("idp: encryption algorithm %q", algorithm)
	}
	key := make([]byte, size/8)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("idp: encryption algorithm %q: %w", algorithm, err)
	}
	plain, err := standalone(assertion)
	if err != nil {
		return err
	}
	uri := "http://www.w3.org/2009/xmlenc11#" + algorithm
	data := []byte(nil)
	if mode == "gcm" {
		data, err = sealGCM(block, plain)
	} else {
		uri = "http://www.w3.org/2001/04/xmlenc#" + algorithm
		data = encryptCBC(block, plain)
	}
	if err != nil {
		return err
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, public, key, nil)
	if err != nil {
		return err
	}

	out := etree.NewElement("saml:EncryptedAssertion")
	out.CreateAttr("xmlns:saml", nsAssertion)
	ed := out.CreateElement("xenc:EncryptedData")
	ed.CreateAttr("xmlns:xenc", "http://www.w3.org/2001/04/xmlenc#")
	ed.CreateAttr("Type", "http://www.w3.org/2001/04/xmlenc#Element")
	ed.CreateElement("xenc:EncryptionMethod").CreateAttr("Algorithm", uri)
	info := ed.CreateElement("ds:KeyInfo")
	info.CreateAttr("xmlns:ds", nsDsig)
	ek := info.CreateElement("xenc:EncryptedKey")
	method := ek.CreateElement("xenc:EncryptionMethod")
	method.CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p")
	method.CreateElement("ds:DigestMethod").CreateAttr("Algorithm", nsDsig+"sha1")
	setCipher(ek, wrapped)
	setCipher(ed, data)

	parent, at := assertion.Parent(), assertion.Index()
	parent.RemoveChildAt(at)
	parent.InsertChildAt(at, out)
	return nil
}

func setCipher(el *etree.Element, data []byte) {
	el.CreateElement("xenc:CipherData").CreateElement("xenc:CipherValue").SetText(base64.StdEncoding.EncodeToString(data))
}

// standalone serializes an element that declares its own namespaces.
func standalone(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el.Copy())
	return serialize(doc)
}

func sealGCM(block cipher.Block, plain []byte) ([]byte, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil), nil
}

// encryptCBC pads as XML Encryption 1.1 §5.2.1 does: the last byte counts.
func encryptCBC(block cipher.Block, plain []byte) []byte {
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(plain, make([]byte, pad)...)
	padded[len(padded)-1] = byte(pad)
	out := make([]byte, aes.BlockSize+len(padded))
	rand.Read(out[:aes.BlockSize])
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], padded)
	return out
}
