import os

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, render_template, session, url_for

app = Flask(__name__)
app.secret_key = os.environ.get("SESSION_SECRET") or os.urandom(32)
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"

# All that has to be known of saoma is its issuer.
oauth = OAuth(app)
saoma = oauth.register(
    "saoma",
    server_metadata_url=os.environ.get("ISSUER", "http://127.0.0.1:8080") + "/.well-known/openid-configuration",
    client_id="flask",
    client_secret=os.environ.get("CLIENT_SECRET", "only-for-trying"),
    client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
)


@app.get("/login")
def login():
    return saoma.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback():
    token = saoma.authorize_access_token()
    person = saoma.userinfo(token=token)
    session.clear()
    session["person"] = {"sub": person["sub"], "name": person["name"]}
    session["id_token"] = token["id_token"]
    return redirect(url_for("home"))


@app.get("/logout")
def logout():
    id_token = session.pop("id_token", None)
    session.clear()
    return saoma.logout_redirect(url_for("home", _external=True), id_token_hint=id_token, client_id="flask")


@app.get("/")
def home():
    # `sub` is who it is, the same for ever; the name is what they like to be called today.
    return render_template("page.html", person=session.get("person"))


@app.errorhandler(OAuthError)
def refused(error):
    """The person said no, or the answer was not for this browser."""
    return render_template("page.html", problem=error.error), 400
