package verify

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// shape is a Response as an identity provider writes it: its prefixes, its
// order of attributes, what it signs and how. The words in capitals are filled
// in.
type shape struct {
	name, mode string
	o          signing
	xml        string
	email      string // attribute that carries the e-mail address; empty: none
	format     string
}

const (
	formatEmail = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	basic       = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
	claims      = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
)

var shapes = []shape{
	{
		"adfs", "assertion",
		signing{prefix: "ds", keyInfo: new(string)},
		`<samlp:Response ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58.640Z" Destination="ACS" Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" InResponseTo="REQ" xmlns:samlp="P"><Issuer xmlns="A">IDP</Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS" /></samlp:Status><Assertion ID="_assert-1" IssueInstant="2026-05-04T11:59:58.640Z" Version="2.0" xmlns="A"><Issuer>IDP</Issuer><Subject><NameID Format="` + formatEmail + `">NAME</NameID><SubjectConfirmation Method="BEARER"><SubjectConfirmationData InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:04:58.640Z" Recipient="ACS" /></SubjectConfirmation></Subject><Conditions NotBefore="2026-05-04T11:59:58.640Z" NotOnOrAfter="2026-05-04T12:59:58.640Z"><AudienceRestriction><Audience>SP</Audience></AudienceRestriction></Conditions><AttributeStatement><Attribute Name="` + claims + `emailaddress"><AttributeValue>NAME</AttributeValue></Attribute><Attribute Name="http://schemas.xmlsoap.org/claims/Group"><AttributeValue>Domain Users</AttributeValue><AttributeValue>Engineering</AttributeValue></Attribute></AttributeStatement><AuthnStatement AuthnInstant="2026-05-04T11:59:58.406Z" SessionIndex="_assert-1"><AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion></samlp:Response>`,
		claims + "emailaddress", formatEmail,
	},
	{
		"entra", "assertion",
		signing{prefix: "-"},
		`<samlp:Response ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58.713Z" Destination="ACS" InResponseTo="REQ" xmlns:samlp="P"><Issuer xmlns="A">IDP</Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS"/></samlp:Status><Assertion ID="_assert-1" IssueInstant="2026-05-04T11:59:58.713Z" Version="2.0" xmlns="A"><Issuer>IDP</Issuer><Subject><NameID Format="` + formatEmail + `">NAME</NameID><SubjectConfirmation Method="BEARER"><SubjectConfirmationData InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:59:58.619Z" Recipient="ACS"/></SubjectConfirmation></Subject><Conditions NotBefore="2026-05-04T11:54:58.619Z" NotOnOrAfter="2026-05-04T12:59:58.619Z"><AudienceRestriction><Audience>SP</Audience></AudienceRestriction></Conditions><AttributeStatement><Attribute Name="http://schemas.microsoft.com/identity/claims/tenantid"><AttributeValue>2f6a7d0e-0b3c-4f0e-9c1c-5a4a1c2d3e4f</AttributeValue></Attribute><Attribute Name="http://schemas.microsoft.com/identity/claims/objectidentifier"><AttributeValue>7c9e6679-7425-40de-944b-e07fc1f90ae7</AttributeValue></Attribute><Attribute Name="` + claims + `name"><AttributeValue>alice.upn@acme.example</AttributeValue></Attribute><Attribute Name="http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"><AttributeValue>11111111-2222-3333-4444-555555555555</AttributeValue></Attribute><Attribute Name="` + claims + `emailaddress"><AttributeValue>NAME</AttributeValue></Attribute></AttributeStatement><AuthnStatement AuthnInstant="2026-05-03T08:12:33.000Z" SessionIndex="_assert-1"><AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion></samlp:Response>`,
		claims + "emailaddress", formatEmail,
	},
	{
		"okta", "both",
		signing{prefixes: "xs"},
		`<?xml version="1.0" encoding="UTF-8"?><saml2p:Response xmlns:saml2p="P" Destination="ACS" ID="_resp-1" InResponseTo="REQ" IssueInstant="2026-05-04T11:59:58.332Z" Version="2.0" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer xmlns:saml2="A" Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">IDP</saml2:Issuer><saml2p:Status xmlns:saml2p="P"><saml2p:StatusCode Value="SUCCESS"/></saml2p:Status><saml2:Assertion xmlns:saml2="A" ID="_assert-1" IssueInstant="2026-05-04T11:59:58.332Z" Version="2.0" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="A">IDP</saml2:Issuer><saml2:Subject xmlns:saml2="A"><saml2:NameID Format="` + formatEmail + `">NAME</saml2:NameID><saml2:SubjectConfirmation Method="BEARER"><saml2:SubjectConfirmationData InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:04:58.332Z" Recipient="ACS"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="2026-05-04T11:54:58.332Z" NotOnOrAfter="2026-05-04T12:04:58.332Z" xmlns:saml2="A"><saml2:AudienceRestriction><saml2:Audience>SP</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions><saml2:AuthnStatement AuthnInstant="2026-05-04T11:40:00.001Z" SessionIndex="REQ" xmlns:saml2="A"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement xmlns:saml2="A"><saml2:Attribute Name="email" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">NAME</saml2:AttributeValue></saml2:Attribute><saml2:Attribute Name="firstName" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">Alice</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>`,
		"email", formatEmail,
	},
	{
		"google", "response",
		signing{},
		`<?xml version="1.0" encoding="UTF-8" standalone="no"?><saml2p:Response xmlns:saml2p="P" Destination="ACS" ID="_resp-1" InResponseTo="REQ" IssueInstant="2026-05-04T11:59:58.100Z" Version="2.0"><saml2:Issuer xmlns:saml2="A">IDP</saml2:Issuer><saml2p:Status><saml2p:StatusCode Value="SUCCESS"/></saml2p:Status><saml2:Assertion xmlns:saml2="A" ID="_assert-1" IssueInstant="2026-05-04T11:59:58.100Z" Version="2.0"><saml2:Issuer>IDP</saml2:Issuer><saml2:Subject><saml2:NameID Format="` + formatEmail + `">NAME</saml2:NameID><saml2:SubjectConfirmation Method="BEARER"><saml2:SubjectConfirmationData InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:04:58.100Z" Recipient="ACS"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="2026-05-04T11:54:58.100Z" NotOnOrAfter="2026-05-04T12:04:58.100Z"><saml2:AudienceRestriction><saml2:Audience>SP</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions><saml2:AttributeStatement><saml2:Attribute Name="email"><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:anyType">NAME</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement><saml2:AuthnStatement AuthnInstant="2026-05-02T09:00:00.000Z" SessionIndex="_assert-1"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement></saml2:Assertion></saml2p:Response>`,
		"email", formatEmail,
	},
	{
		"onelogin", "response",
		signing{},
		`<samlp:Response xmlns:saml="A" xmlns:samlp="P" ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z" Destination="ACS" InResponseTo="REQ"><saml:Issuer>IDP</saml:Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS"/></samlp:Status><saml:Assertion xmlns:saml="A" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Version="2.0" ID="_assert-1" IssueInstant="2026-05-04T11:59:58Z"><saml:Issuer>IDP</saml:Issuer><saml:Subject><saml:NameID Format="` + formatEmail + `">NAME</saml:NameID><saml:SubjectConfirmation Method="BEARER"><saml:SubjectConfirmationData NotOnOrAfter="2026-05-04T12:02:58Z" Recipient="ACS" InResponseTo="REQ"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-05-04T11:56:58Z" NotOnOrAfter="2026-05-04T12:02:58Z"><saml:AudienceRestriction><saml:Audience>SP</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-05-04T11:59:57Z" SessionNotOnOrAfter="2026-05-05T11:59:58Z" SessionIndex="_sess"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute NameFormat="` + basic + `" Name="User.Email"><saml:AttributeValue xsi:type="xs:string">NAME</saml:AttributeValue></saml:Attribute><saml:Attribute NameFormat="` + basic + `" Name="memberOf"><saml:AttributeValue xsi:type="xs:string">eng;ops</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		"User.Email", formatEmail,
	},
	{
		"jumpcloud", "assertion",
		signing{},
		`<saml2p:Response xmlns:saml2p="P" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58.017Z" Destination="ACS" InResponseTo="REQ"><saml2:Issuer xmlns:saml2="A">IDP</saml2:Issuer><saml2p:Status><saml2p:StatusCode Value="SUCCESS"/></saml2p:Status><saml2:Assertion xmlns:saml2="A" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_assert-1" Version="2.0" IssueInstant="2026-05-04T11:59:58.017Z"><saml2:Issuer>IDP</saml2:Issuer><saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">NAME</saml2:NameID><saml2:SubjectConfirmation Method="BEARER"><saml2:SubjectConfirmationData NotOnOrAfter="2026-05-04T12:09:58.017Z" Recipient="ACS" InResponseTo="REQ"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="2026-05-04T11:49:58.017Z" NotOnOrAfter="2026-05-04T12:09:58.017Z"><saml2:AudienceRestriction><saml2:Audience>SP</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions><saml2:AuthnStatement AuthnInstant="2026-05-04T11:59:58.017Z" SessionIndex="_s"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement><saml2:Attribute Name="email" NameFormat="` + basic + `"><saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">NAME</saml2:AttributeValue></saml2:Attribute><saml2:Attribute Name="memberOf" NameFormat="` + basic + `"/></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>`,
		"email", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
	},
	{
		"keycloak", "both",
		signing{prefix: "dsig"},
		`<samlp:Response xmlns:samlp="P" xmlns:saml="A" Destination="ACS" ID="_resp-1" InResponseTo="REQ" IssueInstant="2026-05-04T11:59:58.900Z" Version="2.0"><saml:Issuer>IDP</saml:Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS"/></samlp:Status><saml:Assertion xmlns="A" ID="_assert-1" IssueInstant="2026-05-04T11:59:58.899Z" Version="2.0"><saml:Issuer>IDP</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">NAME</saml:NameID><saml:SubjectConfirmation Method="BEARER"><saml:SubjectConfirmationData InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:00:56.899Z" Recipient="ACS"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-05-04T11:59:56.899Z" NotOnOrAfter="2026-05-04T12:00:56.899Z"><saml:AudienceRestriction><saml:Audience>SP</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-05-04T11:59:58.900Z" SessionIndex="a::b" SessionNotOnOrAfter="2026-05-04T21:59:58.900Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute FriendlyName="email" Name="urn:oid:1.2.840.113549.1.9.1" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">NAME</saml:AttributeValue></saml:Attribute><saml:Attribute Name="Role" NameFormat="` + basic + `"><saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">offline_access</saml:AttributeValue></saml:Attribute><saml:Attribute Name="Role" NameFormat="` + basic + `"><saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">admin</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		"urn:oid:1.2.840.113549.1.9.1", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
	},
	{
		"ping", "response",
		signing{},
		`<samlp:Response Version="2.0" ID="_resp-1" IssueInstant="2026-05-04T11:59:58.462Z" InResponseTo="REQ" Destination="ACS" xmlns:samlp="P"><saml:Issuer xmlns:saml="A">IDP</saml:Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS"/></samlp:Status><saml:Assertion ID="_assert-1" IssueInstant="2026-05-04T11:59:58.500Z" Version="2.0" xmlns:saml="A"><saml:Issuer>IDP</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">NAME</saml:NameID><saml:SubjectConfirmation Method="BEARER"><saml:SubjectConfirmationData Recipient="ACS" NotOnOrAfter="2026-05-04T12:04:58.500Z" InResponseTo="REQ"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-05-04T11:54:58.500Z" NotOnOrAfter="2026-05-04T12:04:58.500Z"><saml:AudienceRestriction><saml:Audience>SP</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement SessionIndex="_s" AuthnInstant="2026-05-04T11:59:58.499Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><saml:Attribute Name="mail" NameFormat="` + basic + `"><saml:AttributeValue xsi:type="xs:string">NAME</saml:AttributeValue></saml:Attribute><saml:Attribute Name="saml_subject" NameFormat="` + basic + `"><saml:AttributeValue xsi:nil="true" xsi:type="xs:string"/></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		"mail", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
	},
	{
		"shibboleth", "assertion",
		signing{prefixes: "xsd"},
		`<saml2p:Response xmlns:saml2p="P" Destination="ACS" ID="_resp-1" InResponseTo="REQ" IssueInstant="2026-05-04T11:59:58.005Z" Version="2.0"><saml2:Issuer xmlns:saml2="A">IDP</saml2:Issuer><saml2p:Status><saml2p:StatusCode Value="SUCCESS"/></saml2p:Status><saml2:Assertion xmlns:saml2="A" xmlns:xsd="http://www.w3.org/2001/XMLSchema" ID="_assert-1" IssueInstant="2026-05-04T11:59:58.005Z" Version="2.0"><saml2:Issuer>IDP</saml2:Issuer><saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient" NameQualifier="IDP" SPNameQualifier="SP">NAME</saml2:NameID><saml2:SubjectConfirmation Method="BEARER"><saml2:SubjectConfirmationData Address="192.0.2.1" InResponseTo="REQ" NotOnOrAfter="2026-05-04T12:04:58.010Z" Recipient="ACS"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="2026-05-04T11:59:58.005Z" NotOnOrAfter="2026-05-04T12:04:58.005Z"><saml2:AudienceRestriction><saml2:Audience>SP</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions><saml2:AuthnStatement AuthnInstant="2026-05-04T11:59:57.900Z" SessionIndex="_s"><saml2:SubjectLocality Address="192.0.2.1"/><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement><saml2:Attribute FriendlyName="eduPersonTargetedID" Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml2:AttributeValue><saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="IDP" SPNameQualifier="SP">opaque-1</saml2:NameID></saml2:AttributeValue></saml2:Attribute><saml2:Attribute FriendlyName="mail" Name="urn:oid:0.9.2342.19200300.100.1.3" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xsd:string">NAME</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>`,
		"urn:oid:0.9.2342.19200300.100.1.3", "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
	},
	{
		"simplesamlphp", "both",
		signing{},
		`<samlp:Response xmlns:samlp="P" xmlns:saml="A" ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z" Destination="ACS" InResponseTo="REQ"><saml:Issuer>IDP</saml:Issuer><samlp:Status><samlp:StatusCode Value="SUCCESS"/></samlp:Status><saml:Assertion xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_assert-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z"><saml:Issuer>IDP</saml:Issuer><saml:Subject><saml:NameID SPNameQualifier="SP" Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">NAME</saml:NameID><saml:SubjectConfirmation Method="BEARER"><saml:SubjectConfirmationData NotOnOrAfter="2026-05-04T12:04:58Z" Recipient="ACS" InResponseTo="REQ"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-05-04T11:59:28Z" NotOnOrAfter="2026-05-04T12:04:58Z"><saml:AudienceRestriction><saml:Audience>SP</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-05-04T11:59:58Z" SessionNotOnOrAfter="2026-05-04T19:59:58Z" SessionIndex="_sess-1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="mail" NameFormat="` + basic + `"><saml:AttributeValue xsi:type="xs:string">NAME</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		"mail", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
	},
}

// shapeSealings is how the identity providers encrypt. Google Workspace does
// not.
var shapeSealings = map[string][]sealing{
	"adfs":  {microsoft},
	"entra": {microsoft},
	"okta": {
		{method: cbc256, place: "retrieved", finish: renamed("saml2", "xenc")},
		{method: gcm256, place: "retrieved", finish: renamed("saml2", "xenc")},
	},
	"onelogin":  {{method: cbc256, finish: renamed("saml", "xenc")}, {method: cbc128, digest: "-"}},
	"jumpcloud": {{method: cbc256, finish: renamed("saml2", "xenc")}},
	"keycloak": {
		{method: cbc128, digest: "-"},
		{method: gcm256, transport: nsXEnc11 + "rsa-oaep", digest: nsXEnc + "sha256", mgf: nsXEnc11 + "mgf1sha256"},
	},
	"ping": {{method: cbc128, keyInfo: spCertificate}},
	"shibboleth": {
		{method: nsXEnc11 + "aes128-gcm", recipient: ` Recipient="` + testEntity + `"`, keyInfo: spCertificate, finish: renamed("saml2", "xenc")},
		{method: cbc128, place: "beside", recipient: ` Recipient="` + testEntity + `"`, keyInfo: spCertificate, finish: renamed("saml2", "xenc")},
	},
	"simplesamlphp": {
		{method: cbc128, digest: "-", finish: func(xml string) string {
			return strings.NewReplacer("<ds:KeyInfo xmlns:ds=", "<dsig:KeyInfo xmlns:dsig=", "</ds:KeyInfo", "</dsig:KeyInfo").Replace(xml)
		}},
		{method: nsXEnc11 + "aes128-gcm", digest: nsXEnc + "sha256", transport: nsXEnc11 + "rsa-oaep"},
	},
}

// spCertificate stands for the KeyInfo with our certificate.
const spCertificate = "our certificate"

// microsoft is the form of AD FS and Entra: default namespaces outside, the
// prefix e for the key, which names the certificate by issuer and serial.
var microsoft = sealing{
	method:  cbc256,
	keyInfo: `<KeyInfo><ds:X509Data xmlns:ds="` + nsDsig + `"><ds:X509IssuerSerial><ds:X509IssuerName>CN=gate.example</ds:X509IssuerName><ds:X509SerialNumber>4711</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data></KeyInfo>`,
	finish: func(xml string) string {
		from, to := strings.Index(xml, "<xenc:EncryptedKey"), strings.Index(xml, "</ds:KeyInfo>")
		key := strings.NewReplacer("xmlns:xenc=", "xmlns:e=", "<xenc:", "<e:", "</xenc:", "</e:", ` Id="_key"`, "", "<ds:DigestMethod xmlns:ds=\""+nsDsig+"\"", "<DigestMethod").Replace(xml[from:to])
		xml = xml[:from] + key + xml[to:]
		return strings.NewReplacer("<ds:KeyInfo xmlns:ds=", "<KeyInfo xmlns=", "</ds:KeyInfo>", "</KeyInfo>", ` Id="_data"`, "",
			"<saml:EncryptedAssertion xmlns:saml=", "<EncryptedAssertion xmlns=", "</saml:EncryptedAssertion", "</EncryptedAssertion").Replace(xml)
	},
}

func renamed(saml, xenc string) func(string) string {
	return func(xml string) string {
		return strings.NewReplacer("xmlns:saml=", "xmlns:"+saml+"=", "<saml:", "<"+saml+":", "</saml:", "</"+saml+":",
			"xmlns:xenc=", "xmlns:"+xenc+"=", "<xenc:", "<"+xenc+":", "</xenc:", "</"+xenc+":").Replace(xml)
	}
}

func (s *shape) build(idp identity) []byte { return s.write(idp, nil) }

// write writes the shape, its assertion encrypted if seal is not nil.
func (s *shape) write(idp identity, seal *sealing) []byte {
	xml := strings.NewReplacer(`="P"`, `="`+nsProtocol+`"`, `="A"`, `="`+nsAssertion+`"`, `"ACS"`, `"`+testACS+`"`, `"REQ"`, `"`+testReq+`"`, `IDP`, testIdP,
		`NAME`, testName, `BEARER`, methodBearer, `SUCCESS`, statusPrefix+"Success", `>SP<`, `>`+testEntity+`<`, `"SP"`, `"`+testEntity+`"`).Replace(s.xml)
	e := &env{mode: s.mode, idp: idp}
	o := s.o
	if o.keyInfo != nil { // ADFS: the certificate without a namespace prefix
		info := `<KeyInfo xmlns="` + nsDsig + `"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(idp.cert.Raw) + `</X509Certificate></X509Data></KeyInfo>`
		o.keyInfo = &info
	}
	declaration := ""
	if i := strings.Index(xml, "?>"); i > 0 {
		declaration, xml = xml[:i+2], xml[i+2:]
	}
	if seal != nil {
		o.by = idp
		return append([]byte(declaration), seals(s.mode, fragment(xml), o, *seal)...)
	}
	return append([]byte(declaration), e.sign(fragment(xml), o)...)
}

// TestAcceptsEncryptedShapes takes what each provider sends when it encrypts, as
// it signs and with the Response signed besides.
func TestAcceptsEncryptedShapes(t *testing.T) {
	for i := range shapes {
		s := shapes[i]
		if len(shapeSealings[s.name]) == 0 && s.name != "google" {
			t.Errorf("%s does not encrypt", s.name)
		}
		for _, mode := range []string{s.mode, "both"} {
			s.mode = mode
			for _, seal := range shapeSealings[s.name] {
				for _, idp := range []identity{rsaIdP(), ecIdP()} {
					a := acceptEncrypted(t, s.write(idp, &seal), withKeys(params(rsaSecond(), idp), rsaSP()))
					if a.NameID.Value != testName || a.NameID.Format != s.format || a.SignedWhat != s.mode || !a.Encrypted {
						t.Errorf("%s: %+v signed %s", s.name, a.NameID, a.SignedWhat)
					}
				}
			}
		}
	}
}

// TestAcceptsShapes takes each provider's shape signed by RSA and ECDSA keys.
func TestAcceptsShapes(t *testing.T) {
	for i := range shapes {
		s := &shapes[i]
		t.Run(s.name, func(t *testing.T) {
			for _, idp := range []identity{rsaIdP(), ecIdP()} {
				a := accept(t, s.build(idp), params(rsaSecond(), idp))
				if a.NameID.Value != testName || a.NameID.Format != s.format || a.SignedWhat != s.mode {
					t.Errorf("%+v signed %s", a.NameID, a.SignedWhat)
				}
				found := false
				for _, attr := range a.Attributes {
					found = found || attr.Name == s.email && len(attr.Values) == 1 && attr.Values[0] == testName
				}
				if !found {
					t.Errorf("no e-mail in %+v", a.Attributes)
				}
			}
		})
	}
}

func TestAttributeValues(t *testing.T) {
	e := &env{t: t, mode: "assertion", idp: rsaIdP()}
	a := accept(t, e.signed(func(_, a *etree.Element) {
		s := child(a, "AttributeStatement")
		for _, c := range s.ChildElements() {
			s.RemoveChild(c)
		}
		s.AddChild(fragment(`<saml:Attribute` + nsAttrs + ` xmlns:xsi="` + nsXSI + `" Name="x"><saml:AttributeValue/><saml:AttributeValue> y </saml:AttributeValue></saml:Attribute>`))
		s.AddChild(fragment(`<saml:Attribute` + nsAttrs + ` Name="empty" NameFormat="f" FriendlyName="g"/>`))
		second := fragment(`<saml:AttributeStatement` + nsAttrs + `/>`)
		second.AddChild(fragment(`<saml:Attribute` + nsAttrs + ` Name="x" NameFormat="other"><saml:AttributeValue>z</saml:AttributeValue></saml:Attribute>`))
		a.AddChild(second)
	}), params(rsaIdP()))
	if len(a.Attributes) != 3 || strings.Join(a.Attributes[0].Values, "|") != "| y " || len(a.Attributes[1].Values) != 0 || a.Attributes[1].FriendlyName != "g" || a.Attributes[2].NameFormat != "other" || a.Attributes[2].Values[0] != "z" {
		t.Errorf("attributes %+v", a.Attributes)
	}
}
