"""Links of the API's own description, which have to stay below wherever the server is found."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.template import flattenString

from telemetry_twisted.api.rest.openapi import openapi_document
from telemetry_twisted.api.rest.page import PAGE_POLICY, ApiPage

PUBLIC = "https://telemetry.example/sub/path"


class LinkTests(SynchronousTestCase):
    """Where the document and the page lead."""

    def page(self) -> str:
        return self.successResultOf(flattenString(None, ApiPage(()))).decode()

    def test_the_page_leads_to_what_is_below_the_same_url(self) -> None:
        links = re.findall(r'(?:href|src|action)="([^"]*)"', self.page())
        self.assertEqual(
            [urljoin(f"{PUBLIC}/api/docs", link) for link in links],
            [f"{PUBLIC}/api/openapi.json", f"{PUBLIC}/metrics"],
        )

    def test_so_does_the_document(self) -> None:
        (server,) = openapi_document((), ())["servers"]
        self.assertEqual(urljoin(f"{PUBLIC}/api/openapi.json", server["url"]), f"{PUBLIC}/")

    def test_it_names_the_public_url_where_there_is_one(self) -> None:
        self.assertEqual(openapi_document((), (), PUBLIC)["servers"], [{"url": PUBLIC}])

    def test_the_policy_of_the_page_allows_its_style_and_nothing_else(self) -> None:
        (style,) = re.findall(r"<style>(.*?)</style>", self.page(), re.DOTALL)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        self.assertIn(f"style-src 'sha256-{digest}'", PAGE_POLICY)
        self.assertIn("default-src 'none'", PAGE_POLICY)
        self.assertNotIn("unsafe", PAGE_POLICY)
