"""wechatpy as its users use it, against the pretend WeChat."""

import os
import pathlib
import sys
import unittest
import urllib.request
import json

import requests.adapters
from wechatpy import WeChatClient
from wechatpy.exceptions import APILimitedException, WeChatClientException

URL = os.environ["WECHAT_URL"]
APPID = os.environ["WECHAT_APPID"]
SECRET = os.environ["WECHAT_SECRET"]
PICTURES = pathlib.Path(sys.argv.pop())


class Elsewhere(requests.adapters.HTTPAdapter):
    """Sends what is meant for api.weixin.qq.com to the pretend WeChat: wechatpy has no base URL."""

    def send(self, request, **kwargs):
        request.url = request.url.replace("https://api.weixin.qq.com", URL)
        return super().send(request, **kwargs)


def client(secret=SECRET):
    made = WeChatClient(APPID, secret)
    made._http.mount("https://api.weixin.qq.com/", Elsewhere())
    return made


def control(name, **body):
    request = urllib.request.Request(f"{URL}/pretend/{name}", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


class Wechatpy(unittest.TestCase):
    def test_somebody_signs_in_once_by_a_code(self):
        js_code = control("js_code", person="alice", unionid="alice-everywhere")["js_code"]
        session = client().wxa.code_to_session(js_code)
        self.assertEqual(len(session["openid"]), 28)
        self.assertEqual(session["unionid"], "alice-everywhere")
        with self.assertRaises(WeChatClientException) as refused:
            client().wxa.code_to_session(js_code)
        self.assertEqual(refused.exception.errcode, 40163)
        self.assertRegex(refused.exception.errmsg, "^code been used, rid: ")

    def test_codes_of_all_three_kinds_are_pictures(self):
        wxa = client().wxa
        path = "pages/login/login?scene=wechatpy"
        unlimited = wxa.get_wxa_code_unlimited("wechatpy", page="pages/login/login")
        hyaline = wxa.get_wxa_code_unlimited("wechatpy", page="pages/login/login", is_hyaline=True)
        self.assertEqual(unlimited.headers["Content-Type"], "image/jpeg")
        self.assertEqual(hyaline.headers["Content-Type"], "image/png")
        (PICTURES / "wechatpy-b.jpg").write_bytes(unlimited.content)
        (PICTURES / "wechatpy-b.png").write_bytes(hyaline.content)
        (PICTURES / "wechatpy-a.jpg").write_bytes(wxa.get_wxa_code(path).content)
        (PICTURES / "wechatpy-c.jpg").write_bytes(wxa.create_qrcode(path).content)

    def test_an_unpublished_page_is_an_exception_and_no_picture(self):
        with self.assertRaises(WeChatClientException) as refused:
            client().wxa.get_wxa_code_unlimited("s", page="pages/nowhere")
        self.assertEqual(refused.exception.errcode, 41030)

    def test_a_dead_token_is_replaced(self):
        wechat = client()
        wechat.wxa.get_wxa_code_unlimited("one")
        first = wechat.access_token
        control("forget_tokens")
        wechat.wxa.get_wxa_code_unlimited("two")
        self.assertNotEqual(wechat.access_token, first)

    def test_a_wrong_secret_and_a_used_up_quota_have_their_exceptions(self):
        with self.assertRaises(WeChatClientException) as refused:
            client("wrong").fetch_access_token()
        self.assertEqual(refused.exception.errcode, 40125)
        control("trouble", path="/wxa/getwxacode", errcode=45009)
        with self.assertRaises(APILimitedException):
            client().wxa.get_wxa_code("pages/a")

    def test_a_text_is_judged(self):
        self.assertEqual(client().wxa.check_text_security("hello")["errcode"], 0)
        with self.assertRaises(WeChatClientException) as refused:
            client().wxa.check_text_security("特3456书yuuo莞6543李zxcz蒜7782法fgnv级")
        self.assertEqual(refused.exception.errcode, 87014)


if __name__ == "__main__":
    unittest.main()
