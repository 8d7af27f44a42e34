"""Sites with Authlib in Flask, in the manner of its documentation: everything that Authlib checks, it checks.

One program serves all of them, each below its own path.
"""

import json
import os

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Blueprint, Flask, redirect, request, session
from joserfc.errors import JoseError
from markupsafe import escape

app = Flask(__name__)
app.secret_key = os.urandom(32)
oauth = OAuth(app)


def page(name, value):
    return f'<!doctype html><pre id="{name}">{escape(json.dumps(value))}</pre>'


def site(registered):
    site_id, base = registered["id"], registered["base"]
    blueprint = Blueprint(site_id, __name__, url_prefix=f"/{site_id}")
    client_kwargs = {
        "scope": "openid profile email offline_access",
        "token_endpoint_auth_method": f"client_secret_{registered['auth']}",
    }
    if registered["pkce"] == "required":
        client_kwargs["code_challenge_method"] = "S256"
    saoma = oauth.register(
        site_id,
        server_metadata_url=os.environ["ISSUER"] + "/.well-known/openid-configuration",
        client_id=site_id,
        client_secret=registered["secret"],
        client_kwargs=client_kwargs,
    )

    @blueprint.get("/sign-in")
    def sign_in():
        asked = {"response_mode": registered["mode"], **request.args}
        return saoma.authorize_redirect(f"{base}/callback", **asked)

    @blueprint.route("/callback", methods=["GET", "POST"])
    def callback():
        # Of a posted answer Authlib reads the code alone.
        if "error" in request.form:
            raise OAuthError(request.form["error"], request.form.get("error_description"))
        token = saoma.authorize_access_token()
        session["token"] = {name: token[name] for name in ("access_token", "refresh_token", "id_token")}
        session["claims"] = token["userinfo"]
        return redirect(f"{base}/", 303)

    @blueprint.get("/")
    def me():
        if "token" not in session:
            return '<a href="sign-in">Sign in with WeChat</a>'
        token = session["token"]
        return page("me", {
            "claims": session["claims"],
            "userinfo": saoma.userinfo(token={**token, "token_type": "Bearer"}),
            "introspected": call("introspect_token", "introspection_endpoint", token["access_token"]).json(),
        })

    def call(method, endpoint, token, **more):
        """What Authlib's session does beyond signing in."""
        metadata = saoma.load_server_metadata()
        with saoma._get_oauth_client(**metadata) as client:
            return getattr(client, method)(metadata[endpoint], token, **more)

    @blueprint.get("/refresh")
    def refresh():
        token, claims = session["token"], session["claims"]
        fresh = call("refresh_token", "token_endpoint", token["refresh_token"])
        # A refreshed id_token has no nonce (OIDC Core 12.2).
        again = saoma.parse_id_token(fresh, nonce=None)
        session["token"] = {name: fresh[name] for name in ("access_token", "refresh_token", "id_token")}
        return page("refreshed", {
            "same": again["sub"] == claims["sub"],
            "rotated": fresh["refresh_token"] != token["refresh_token"],
        })

    @blueprint.get("/revoke")
    def revoke():
        token = session["token"]
        call("revoke_token", "revocation_endpoint", token["refresh_token"]).raise_for_status()
        introspected = call("introspect_token", "introspection_endpoint", token["access_token"]).json()
        told = saoma.get(saoma.load_server_metadata()["userinfo_endpoint"], token={**token, "token_type": "Bearer"})
        return page("revoked", {"active": introspected["active"], "refused": told.status_code})

    @blueprint.get("/sign-out")
    def sign_out():
        token = session.pop("token")
        return saoma.logout_redirect(f"{base}/bye", id_token_hint=token["id_token"])

    @blueprint.get("/bye")
    def bye():
        saoma.validate_logout_response()
        return page("bye", {"state": "gone"})

    app.register_blueprint(blueprint)


for registered in json.loads(os.environ["SITES"]):
    site(registered)


@app.errorhandler(OAuthError)
@app.errorhandler(JoseError)
def refused(error):
    """What the library refused, and why."""
    name = getattr(error, "error", None) or type(error).__name__
    return page("refused", {"error": name, "why": str(getattr(error, "description", error))}), 400


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]))
