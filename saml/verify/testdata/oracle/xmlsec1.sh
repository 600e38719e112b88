#!/bin/sh
# Verifies the signatures of each document with xmlsec1 and prints one line per
# document: name, "ok", "refused" or "unable", and a reason, separated by tabs.
#
# Usage: xmlsec1.sh DIR
# DIR holds list.txt (name, kind of key, elements that must be signed, "sealed"
# or "plain"), the documents, KIND.crt and sp.key.
dir=$1
verify() { # document, certificate, element
	xmlsec1 --verify --enabled-reference-uris same-doc --enabled-key-data raw-x509-cert \
		--pubkey-cert-pem "$2" \
		--id-attr:ID urn:oasis:names:tc:SAML:2.0:protocol:Response \
		--id-attr:ID urn:oasis:names:tc:SAML:2.0:assertion:Assertion \
		--node-xpath "//*[local-name()='$3' and not(ancestor::*[local-name()='$3'])]/*[local-name()='Signature']" \
		"$1" >/dev/null 2>&1
}
while IFS='	' read -r name kind elements state; do
	doc=$dir/$name.xml
	plain=$doc
	result=ok
	reason=
	if [ "$state" = sealed ]; then
		plain=$dir/$name.opened.xml
		if ! xmlsec1 --decrypt --privkey-pem "$dir/sp.key" \
			--id-attr:Id http://www.w3.org/2001/04/xmlenc#:EncryptedKey \
			--id-attr:Id http://www.w3.org/2001/04/xmlenc#:EncryptedData \
			--node-xpath "/*/*[local-name()='EncryptedAssertion']/*[local-name()='EncryptedData']" \
			--output "$plain" "$doc" >/dev/null 2>&1; then
			plain=
		fi
	fi
	for element in $elements; do
		case $element in
		Response) verify "$doc" "$dir/$kind.crt" Response || { result=refused reason=Response; } ;;
		Assertion)
			if [ -z "$plain" ]; then
				[ $result = refused ] || { result=unable reason=decryption; }
			else
				verify "$plain" "$dir/$kind.crt" Assertion || { result=refused reason=Assertion; }
			fi
			;;
		esac
	done
	printf '%s\t%s\t%s\t\n' "$name" "$result" "$reason"
done <"$dir/list.txt"
