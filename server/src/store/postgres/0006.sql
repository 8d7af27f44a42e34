-- What is forgotten is found by itself.
CREATE INDEX consents_withdrawn ON consents (withdrawn) WHERE withdrawn IS NOT NULL;

-- Who asks at a door is shown to its owner without an address.
UPDATE admissions SET browser = jsonb_set(browser, '{address}', '"0.0.0.0"') WHERE browser IS NOT NULL;
