// Tokens that golang-jwt has signed, and what is wrong with some of them, against a real broker.
package interop

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var listening = regexp.MustCompile(`listening on (http://[0-9.:]+)`)

// startBroker runs the broker with further settings until the test ends, and gives its URL.
func startBroker(t *testing.T, settings ...string) string {
	t.Helper()
	binary := os.Getenv("BROKER_BINARY")
	if binary == "" {
		binary = "../../../target/debug/widecast"
	}
	arguments := []string{"serve", "--listen", "127.0.0.1:0"}
	for _, setting := range settings {
		arguments = append(arguments, "--set", setting)
	}
	broker := exec.Command(binary, arguments...)
	log, err := broker.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		broker.Process.Kill()
		broker.Wait()
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			// A full pipe would stop the broker.
			go io.Copy(io.Discard, log)
			return found[1]
		}
	}
	t.Fatal("the broker ended before it listened")
	return ""
}

// publish gives the status and the body of the answer to a message with this token.
func publish(t *testing.T, broker, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequest("POST", broker+"/channels/news/messages", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// claims are those of a good token, but for some.
func claims(others jwt.MapClaims) jwt.MapClaims {
	all := jwt.MapClaims{
		"sub":      "7",
		"exp":      jwt.NewNumericDate(time.Now().Add(time.Minute)),
		"channels": map[string][]string{"news": {"publish"}},
	}
	for name, value := range others {
		if value == nil {
			delete(all, name)
		} else {
			all[name] = value
		}
	}
	return all
}

func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEachAlgorithmOfASecretIsTaken(t *testing.T) {
	broker := startBroker(t, "auth.jwt.hmac_secret_file="+file(t, "jwt.key", []byte(secret)))
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		status, body := publish(t, broker, sign(t, method, []byte(secret), claims(nil)))
		if status != 200 {
			t.Errorf("%s: %d %s", method.Alg(), status, body)
		}
	}
}

func TestEachAlgorithmOfAKeyPairIsTaken(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		key     crypto.Signer
		methods []jwt.SigningMethod
	}{
		{rsaKey, []jwt.SigningMethod{
			jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
			jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
		}},
		{p256, []jwt.SigningMethod{jwt.SigningMethodES256}},
		{p384, []jwt.SigningMethod{jwt.SigningMethodES384}},
		{edKey, []jwt.SigningMethod{jwt.SigningMethodEdDSA}},
	} {
		der, err := x509.MarshalPKIXPublicKey(one.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		broker := startBroker(t, "auth.jwt.public_key_files="+file(t, "public.pem", public))
		for _, method := range one.methods {
			status, body := publish(t, broker, sign(t, method, one.key, claims(nil)))
			if status != 200 {
				t.Errorf("%s: %d %s", method.Alg(), status, body)
			}
		}
		// A public key is no secret.
		confused := sign(t, jwt.SigningMethodHS256, public, claims(nil))
		if status, body := publish(t, broker, confused); status != 401 {
			t.Errorf("signed with the public key: %d %s", status, body)
		}
	}
}

func TestWhatIsWrongWithATokenIsTold(t *testing.T) {
	broker := startBroker(t,
		"auth.jwt.hmac_secret_file="+file(t, "jwt.key", []byte(secret)),
		"auth.jwt.audiences=widecast", "auth.jwt.leeway_ms=0")
	audience := jwt.ClaimStrings{"other", "widecast"}
	good := sign(t, jwt.SigningMethodHS256, []byte(secret), claims(jwt.MapClaims{"aud": audience}))
	if status, body := publish(t, broker, good); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	past := jwt.NewNumericDate(time.Now().Add(-time.Minute))
	future := jwt.NewNumericDate(time.Now().Add(time.Minute))
	for expected, others := range map[string]jwt.MapClaims{
		"the token has expired":                     {"aud": audience, "exp": past},
		"the token is not valid yet":                {"aud": audience, "nbf": future},
		"audience (aud) is not the configured":      {"aud": "other"},
		"the token lacks the claim aud":             {},
		"the token lacks the claim exp":             {"aud": audience, "exp": nil},
		"sub has to have 1 to 255 bytes":            {"aud": audience, "sub": ""},
		"channels has \\\"news\\\" with other than": {"aud": audience, "channels": map[string]string{"news": "read"}},
	} {
		token := sign(t, jwt.SigningMethodHS256, []byte(secret), claims(others))
		status, body := publish(t, broker, token)
		if status != 401 || !strings.Contains(body, expected) {
			t.Errorf("expected %q: %d %s", expected, status, body)
		}
	}
	unsigned := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil))
	if status, body := publish(t, broker, unsigned); status != 401 {
		t.Errorf("unsigned: %d %s", status, body)
	}
}
