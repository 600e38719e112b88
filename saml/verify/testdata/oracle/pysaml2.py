"""Checks each document with pysaml2 and prints one line per document: name,
"ok" or "refused", a reason, and the NameID, separated by tabs.

Usage: pysaml2.py DIR NOW ACS ENTITY REQUEST
DIR is described in xmlsec1.sh; besides, it holds idp-KIND.xml (metadata) and
sp.crt. NOW is the time to check at, in seconds since 1970.
"""

import base64
import datetime
import logging
import shutil
import sys

import saml2.time_util
from saml2 import BINDING_HTTP_POST
from saml2.client import Saml2Client
from saml2.config import SPConfig

directory, now, acs, entity, request = sys.argv[1:6]
now = int(now)
logging.disable(logging.CRITICAL)


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return cls.utcfromtimestamp(now)


saml2.time_util.datetime = Clock
saml2.time_util.utc_now = lambda: now


def client(kind):
    config = SPConfig()
    config.load(
        {
            "entityid": entity,
            "allow_unknown_attributes": True,
            "accepted_time_diff": 120,
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(acs, BINDING_HTTP_POST)]},
                    "want_assertions_signed": False,
                    "want_response_signed": False,
                    "want_assertions_or_response_signed": True,
                }
            },
            "metadata": {"local": ["%s/idp-%s.xml" % (directory, kind)]},
            "key_file": directory + "/sp.key",
            "cert_file": directory + "/sp.crt",
            "encryption_keypairs": [{"key_file": directory + "/sp.key", "cert_file": directory + "/sp.crt"}],
            "xmlsec_binary": shutil.which("xmlsec1"),
        }
    )
    return Saml2Client(config=config)


clients = {}
for line in open(directory + "/list.txt"):
    name, kind, elements, state = line.rstrip("\n").split("\t")
    if kind not in clients:
        clients[kind] = client(kind)
    result, reason, name_id = "ok", "", ""
    try:
        with open("%s/%s.xml" % (directory, name), "rb") as f:
            text = base64.b64encode(f.read()).decode()
        response = clients[kind].parse_authn_request_response(text, BINDING_HTTP_POST, {request: "/"})
        if response is None:
            result, reason = "refused", "no response"
        else:
            name_id = response.get_subject().text or ""
    except Exception as e:  # every failure is a refusal
        result, reason = "refused", "%s %s" % (type(e).__name__, e)
    clean = lambda s: " ".join(s.split())[:160]
    print("\t".join((name, result, clean(reason), name_id)), flush=True)
